export * from './core';
export { type AttachmentFile, type AttachmentLink, Attachments, isStored, type UploadOptions } from './attachments';
export { Notifications, type NotificationsSnapshot, type PushRegistration } from './notifications';
