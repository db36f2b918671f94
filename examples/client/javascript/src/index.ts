export * from './core';
export { Notifications, type NotificationsSnapshot, type PushRegistration } from './notifications';
