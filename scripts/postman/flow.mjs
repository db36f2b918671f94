// The order of the requests when the whole collection runs, and the values that differ from the examples of the document.
// Every operation is here once, in the folder of its tag:
//   path     variables of the path, by parameter
//   query    parameters that are switched on
//   body     changes to the example of the body
//   bytes    body that is not JSON
//   token    variable of the token that authenticates the request, instead of `token`
//   saves    variables that the response sets, each with the path of its value
//   before   script that prepares a resource, so that a run destroys nothing that a person uses
//   skipped  condition under which a run leaves out the request

/** Calls the service from a script. The host acts for `user`, or for itself. */
const CALL = `const call = (method, path, body, user) => new Promise((resolve, reject) => {
  const header = { 'Content-Type': 'application/json', 'X-Internal-Secret': pm.variables.get('internal_secret') };
  if (user) header['X-Acting-User'] = encodeURIComponent(pm.variables.get(user));
  const request = { url: pm.variables.get('base_url') + path, method, header };
  if (body) request.body = { mode: 'raw', raw: JSON.stringify(body) };
  pm.sendRequest(request, (error, response) => error ? reject(error) : resolve(response.code === 204 ? {} : response.json()));
});
const save = (name, value) => pm.collectionVariables.set(name, value);`;

const prepare = (script) => `${CALL}
(async () => {
${script.replaceAll(/^/gm, '  ')}
})();`;

const conversation = { id: 'conversation_id' };
const message = { id: 'message_id' };
const upload = { id: 'upload_id' };
const webhook = { id: 'webhook_id' };
const guest = { id: 'guest_id' };
const third = { userId: 'third_user_id' };
const heldOnly = `// Only a hook holds messages. Set held_id to run this request.
if (!pm.variables.get('held_id')) pm.execution.skipRequest();`;

const account = { userId: 'account_id' };

// The plugin accounts may be off, and its e-mails do not come to Postman: put the token of one into mail_token to send the requests that need it.
const ONLY_WITH_ACCOUNTS = `if (pm.variables.get('accounts') !== 'on') pm.execution.skipRequest();`;
const ONLY_WITH_MAIL = `if (!pm.variables.get('mail_token')) pm.execution.skipRequest();`;
const ONLY_WITHOUT_MAIL = `${ONLY_WITH_ACCOUNTS}
if (String(pm.variables.get('verification_required')) === 'true') pm.execution.skipRequest();`;
const LOG_IN_AGAIN = `const again = await call('POST', '/auth/login', { login: pm.variables.get('account_email'), password: 'staple the battery' });
save('account_token', again.accessToken);`;

export const folders = {
  Health: {
    getHealth: {},
    getLiveness: {},
    getReadiness: {},
    getHealthReport: {},
    getStatus: {
      after: `// A path that exists only with the plugin accounts.
pm.sendRequest({ url: pm.variables.get('base_url') + '/auth/me', method: 'GET' }, (error, response) => {
  pm.collectionVariables.set('accounts', !error && response.code === 401 ? 'on' : 'off');
});`,
    },
    getMetrics: {},
  },
  'Users (Internal)': {
    syncUser: { body: { externalUserId: '{{user_id}}' } },
    syncUsers: {
      body: {
        users: [
          { externalUserId: '{{user_id}}', name: 'Alice' },
          { externalUserId: '{{other_user_id}}', name: 'Bob' },
          { externalUserId: '{{third_user_id}}', name: 'Carol' },
        ],
      },
    },
    exportUser: { path: { id: 'user_id' } },
    disconnectUser: {
      path: guest,
      before: prepare(`const id = 'postman-guest-' + pm.variables.replaceIn('{{$guid}}');
save('guest_id', id);
await call('POST', '/api/users/sync', { externalUserId: id, name: 'Guest' });`),
    },
    deleteUser: { path: guest },
    getUserErasure: { path: guest },
  },
  Users: {
    getMe: {},
    updateMe: {},
    getUser: { path: { id: 'other_user_id' } },
    searchUsers: { query: { q: '{{other_user_id}}' } },
    blockUser: { path: third },
    listBlocks: {},
    unblockUser: { path: third },
  },
  Conversations: {
    createConversation: { body: { participantIds: ['{{other_user_id}}'] }, saves: { conversation_id: 'id' } },
    listConversations: {},
    getConversation: { path: conversation },
    updateConversation: { path: conversation },
    addParticipants: { path: conversation, body: { userIds: ['{{third_user_id}}'] } },
    listParticipants: { path: conversation },
    updateParticipant: { path: { ...conversation, ...third } },
    removeParticipant: { path: { ...conversation, ...third } },
    updatePreferences: { path: conversation, body: { mutedUntil: '{{tomorrow}}' } },
    listLogEntries: { path: conversation },
    listPublicConversations: {},
    joinConversation: {
      path: { id: 'public_conversation_id' },
      before: prepare(`const made = await call('POST', '/api/conversations', { type: 'public', name: 'Postman', participantIds: [] }, 'other_user_id');
save('public_conversation_id', made.id);`),
    },
    leaveConversation: { path: { id: 'public_conversation_id' } },
    deleteConversation: {
      path: { id: 'spare_conversation_id' },
      before: prepare(`const made = await call('POST', '/api/conversations', { type: 'group', name: 'To delete', participantIds: [] }, 'user_id');
save('spare_conversation_id', made.id);`),
    },
  },
  Messages: {
    sendMessage: {
      path: conversation,
      body: { mentions: ['{{other_user_id}}'], clientMessageId: '{{$guid}}' },
      saves: { message_id: 'id' },
    },
    listMessages: { path: conversation },
    getMessage: { path: message },
    editMessage: { path: message },
    getMessageHistory: { path: message },
    listReplies: { path: message },
    pinMessage: { path: message },
    listPinnedMessages: { path: conversation },
    unpinMessage: { path: message },
    sendDirectMessage: {
      body: { receiverId: '{{other_user_id}}', mentions: ['{{other_user_id}}'], clientMessageId: '{{$guid}}' },
      saves: { direct_conversation_id: 'conversationId' },
    },
    forwardMessage: {
      path: message,
      body: { conversationIds: ['{{direct_conversation_id}}'], clientMessageId: '{{$guid}}' },
    },
    deleteMessage: {
      path: { id: 'spare_message_id' },
      before: prepare(`const path = '/api/conversations/' + pm.variables.get('conversation_id') + '/messages';
const made = await call('POST', path, { content: 'To delete' }, 'user_id');
save('spare_message_id', made.id);`),
    },
    restoreMessage: { path: { id: 'spare_message_id' } },
    scheduleMessage: {
      body: { conversationId: '{{conversation_id}}', sendAt: '{{tomorrow}}', clientMessageId: '{{$guid}}' },
      saves: { scheduled_id: 'id' },
    },
    listScheduledMessages: {},
    getScheduledMessage: { path: { id: 'scheduled_id' } },
    updateScheduledMessage: { path: { id: 'scheduled_id' }, body: { sendAt: '{{tomorrow}}' } },
    cancelScheduledMessage: { path: { id: 'scheduled_id' } },
    listHeldMessages: {},
    releaseHeldMessage: { path: { id: 'held_id' }, skipped: heldOnly },
    dropHeldMessage: { path: { id: 'held_id' }, skipped: heldOnly },
  },
  Reactions: {
    addReaction: { path: message },
    listReactions: { path: message },
    removeReaction: { path: { ...message, emoji: 'emoji' } },
  },
  'Read Receipts': {
    markMessageDelivered: { path: message },
    listDeliveryReceipts: { path: message },
    markMessageRead: { path: message },
    listReadReceipts: { path: message },
    markMessageUnread: { path: message },
    markConversationRead: { path: conversation, body: { upToMessageId: '{{message_id}}' } },
    getConversationUnreadCount: { path: conversation },
    listUnreadConversations: {},
    getUnreadCount: {},
    markThreadRead: { path: message },
    getThreadUnreadCount: { path: message },
  },
  Presence: {
    setMyStatus: {},
    getUserPresence: { path: { id: 'other_user_id' } },
    listConversationPresence: { path: conversation },
    getPresenceBatch: { body: { userIds: ['{{user_id}}', '{{other_user_id}}'] } },
  },
  Events: {
    streamEvents: {
      skipped: `// The stream does not end. To follow it, set follow_events to true and send this request alone.
if (pm.variables.get('follow_events') !== 'true') pm.execution.skipRequest();`,
    },
  },
  Attachments: {
    createUpload: { body: { name: 'notes.txt', size: 11, mimeType: 'text/plain' }, saves: { upload_id: 'id' } },
    sendPiece: { path: upload, query: { offset: '0' }, bytes: 'hello world' },
    getUpload: { path: upload },
    completeUpload: { path: upload },
    getAttachment: { path: upload },
    getAttachmentLink: {
      path: upload,
      after: `for (const name of ['expires', 'signature']) {
  const found = new RegExp(name + '=([^&]*)').exec(body.url);
  pm.collectionVariables.set('link_' + name, found ? found[1] : '');
}`,
    },
    downloadAttachment: { path: upload, query: { expires: '{{link_expires}}', signature: '{{link_signature}}' } },
    downloadThumbnail: {
      path: upload,
      query: { expires: '{{link_expires}}', signature: '{{thumbnail_signature}}' },
      skipped: `// A text has no thumbnail. Upload a picture and set thumbnail_signature to run this request.
if (!pm.variables.get('thumbnail_signature')) pm.execution.skipRequest();`,
    },
    deleteAttachment: { path: upload },
    cancelUpload: {
      path: { id: 'second_upload_id' },
      before: prepare(`const made = await call('POST', '/api/attachments/uploads', { name: 'second.txt', size: 1 }, 'user_id');
save('second_upload_id', made.id);`),
    },
  },
  Moderation: {
    setModerationRule: { path: { name: 'rule_name' } },
    listModerationRules: {},
    getModerationRule: { path: { name: 'rule_name' } },
    deleteModerationRule: { path: { name: 'rule_name' } },
    tryModerationRule: { body: { limit: 10, since: '{{an_hour_ago}}' } },
    createModerationRestriction: { body: { userId: '{{third_user_id}}' }, saves: { restriction_id: 'id' } },
    listModerationRestrictions: {},
    deleteModerationRestriction: { path: { id: 'restriction_id' } },
    reportMessage: {
      body: { messageId: '{{reported_message_id}}' },
      before: prepare(`const path = '/api/conversations/' + pm.variables.get('conversation_id') + '/messages';
const made = await call('POST', path, { content: 'To report' }, 'other_user_id');
save('reported_message_id', made.id);`),
    },
    listModerationReports: {},
    claimModerationReport: {
      path: { id: 'report_id' },
      before: prepare(`// A report of a message of this user, who can appeal the decision.
const path = '/api/conversations/' + pm.variables.get('conversation_id') + '/messages';
const made = await call('POST', path, { content: 'Reported' }, 'user_id');
const report = await call('POST', '/api/moderation/reports', { messageId: made.id }, 'other_user_id');
save('report_id', report.id);`),
    },
    decideModerationReport: { path: { id: 'report_id' }, saves: { decision_id: 'id' } },
    listModerationDecisions: {},
    listOwnModerationDecisions: {},
    undoModerationDecision: { path: { id: 'decision_id' } },
    appealModerationDecision: {
      path: { id: 'decision_id' },
      before: prepare(`// The report is open again.
const path = '/api/moderation/reports/' + pm.variables.get('report_id') + '/decide';
const made = await call('POST', path, { reviewerId: 'rita', action: 'remove' });
save('decision_id', made.id);`),
    },
    resolveModerationAppeal: { path: { id: 'decision_id' } },
  },
  Notifications: {
    sendNotification: {
      body: { userIds: ['{{user_id}}'], idempotencyKey: 'postman-{{$guid}}' },
    },
    listNotifications: {},
    countUnreadNotifications: {},
    readNotification: {
      path: { id: 'notification_id' },
      before: prepare(`const notified = async () => {
  const page = await call('GET', '/api/notifications', null, 'user_id');
  return page.notifications && page.notifications[0];
};
await call('POST', '/api/notifications', { userIds: [pm.variables.get('user_id')], kind: 'POSTMAN' });
for (let attempt = 0; attempt < 60 && !(await notified()); attempt += 1) await new Promise((resolve) => setTimeout(resolve, 250));
save('notification_id', (await notified()).id);`),
    },
    readAllNotifications: {},
    deleteNotification: { path: { id: 'notification_id' } },
    getPushKey: {},
    registerPush: { saves: { push_subscription_id: 'id' } },
    listPushSubscriptions: {},
    deletePushSubscription: { path: { id: 'push_subscription_id' } },
  },
  'Admin/Webhooks': {
    createWebhook: { saves: { webhook_id: 'id' } },
    listWebhooks: {},
    getWebhook: { path: webhook },
    updateWebhook: { path: webhook, body: { retrySchedule: [] } },
    rotateWebhookSecret: { path: webhook },
    testWebhook: { path: webhook, saves: { event_id: 'eventId' } },
    listDeadLetters: {
      query: { endpointId: '{{webhook_id}}' },
      saves: { letter_id: 'deadLetters.0.id' },
      before: prepare(`// The address does not exist, so the test event becomes a dead letter.
for (let attempt = 0; attempt < 60; attempt += 1) {
  const page = await call('GET', '/api/admin/webhooks/dead-letters?endpointId=' + pm.variables.get('webhook_id'));
  if (page.deadLetters && page.deadLetters.length) break;
  await new Promise((resolve) => setTimeout(resolve, 250));
}`),
    },
    getDeadLetter: { path: { letterId: 'letter_id' } },
    listWebhookDeliveries: { path: webhook },
    listWebhookDeliveryAttempts: { path: { ...webhook, eventId: 'event_id' } },
    replayDeadLetter: { path: { letterId: 'letter_id' } },
    replayDeadLetters: { body: { endpointId: '{{webhook_id}}', since: '{{an_hour_ago}}' } },
    backfillWebhook: { path: webhook, body: { since: '{{an_hour_ago}}' } },
    enableWebhook: { path: webhook },
    deleteWebhook: { path: webhook },
    pullWebhookEvents: {
      path: { id: 'pull_webhook_id' },
      query: { limit: '10', waitSeconds: '10' },
      saves: { ack_id: 'events.0.ackId' },
      before: prepare(`// An endpoint without a URL, and an event for it.
const made = await call('POST', '/api/admin/webhooks', { events: ['user.synced'] });
save('pull_webhook_id', made.id);
await call('POST', '/api/users/sync', { externalUserId: 'postman-guest', name: 'Guest ' + Date.now() });`),
    },
    acknowledgeWebhookEvents: {
      path: { id: 'pull_webhook_id' },
      body: { ackIds: ['{{ack_id}}'] },
      after: `pm.sendRequest({
  url: pm.variables.get('base_url') + '/api/admin/webhooks/' + pm.variables.get('pull_webhook_id'),
  method: 'DELETE',
  header: { 'X-Internal-Secret': pm.variables.get('internal_secret') },
}, () => {});`,
    },
  },
  Accounts: {
    registerAccount: {
      body: { email: '{{account_email}}' },
      saves: { verification_required: 'verificationRequired' },
      before: `const name = 'postman.' + pm.variables.replaceIn('{{$guid}}').slice(0, 8);
pm.collectionVariables.set('account_name', name);
pm.collectionVariables.set('account_email', name + '@shop.example');
pm.collectionVariables.set('verification_required', 'false');`,
      skipped: ONLY_WITH_ACCOUNTS,
    },
    requestVerification: { body: { email: '{{account_email}}' }, skipped: ONLY_WITH_MAIL },
    verifyEmail: { body: { token: '{{mail_token}}' }, skipped: ONLY_WITH_MAIL },
    logIn: {
      body: { login: '{{account_email}}' },
      saves: { account_id: 'userId', account_token: 'accessToken', refresh_token: 'refreshToken' },
      skipped: ONLY_WITHOUT_MAIL,
    },
    refreshTokens: {
      body: { refreshToken: '{{refresh_token}}' },
      saves: { account_token: 'accessToken', refresh_token: 'refreshToken' },
      skipped: ONLY_WITHOUT_MAIL,
    },
    getAccount: { token: 'account_token', skipped: ONLY_WITHOUT_MAIL },
    updateAccount: { token: 'account_token', body: { username: '{{account_name}}' }, skipped: ONLY_WITHOUT_MAIL },
    changePassword: { token: 'account_token', body: { refreshToken: '{{refresh_token}}' }, skipped: ONLY_WITHOUT_MAIL },
    logOut: { body: { refreshToken: '{{refresh_token}}' }, skipped: ONLY_WITHOUT_MAIL },
    requestPasswordReset: { body: { email: '{{account_email}}' }, skipped: ONLY_WITH_MAIL },
    resetPassword: { body: { token: '{{mail_token}}' }, skipped: ONLY_WITH_MAIL },
    logOutEverywhere: { token: 'account_token', before: prepare(LOG_IN_AGAIN), skipped: ONLY_WITHOUT_MAIL },
    deleteAccount: {
      token: 'account_token',
      body: { password: 'staple the battery' },
      before: prepare(LOG_IN_AGAIN),
      skipped: ONLY_WITHOUT_MAIL,
    },
  },
  'Admin/Consumers': {
    createConsumer: { body: { name: '{{consumer_name}}' } },
    listConsumers: {},
    getConsumer: { path: { name: 'consumer_name' } },
    deleteConsumer: { path: { name: 'consumer_name' } },
  },
  'Admin/Accounts': {
    getAccountOfUser: {
      path: account,
      before: prepare(`// The account of the requests before is deleted.
const name = 'postman.' + pm.variables.replaceIn('{{$guid}}').slice(0, 8) + '@shop.example';
const password = 'correct horse battery';
await call('POST', '/auth/register', { email: name, password });
const made = await call('POST', '/auth/login', { login: name, password });
save('account_id', made.userId);`),
      skipped: ONLY_WITHOUT_MAIL,
    },
    updateAccountOfUser: { path: account, skipped: ONLY_WITHOUT_MAIL },
    listAccountAudit: { path: account, skipped: ONLY_WITHOUT_MAIL },
  },
  'Admin/Plugins': {
    registerPlugin: { body: { name: '{{plugin_name}}', shadow: true } },
    listPlugins: {},
    getPlugin: { path: { name: 'plugin_name' } },
    deletePlugin: { path: { name: 'plugin_name' } },
  },
};

/** Variables of the collection. Those without a value are set by the environment or by an earlier request. */
export const variables = {
  base_url: 'http://localhost:8080',
  ws_url: 'ws://localhost:8080/ws',
  token: '',
  internal_secret: '',
  user_id: 'alice',
  other_user_id: 'bob',
  third_user_id: 'carol',
  conversation_id: '',
  message_id: '',
  account_email: '',
  account_name: '',
  mail_token: '',
  emoji: '%F0%9F%91%8D',
  consumer_name: 'postman',
  plugin_name: 'postman',
  rule_name: 'postman',
  follow_events: 'false',
};

/** Servers of each environment. `docker` is for a runner in the network of docker-compose.yml. */
export const environments = {
  Development: { base_url: 'http://localhost:8080', ws_url: 'ws://localhost:8080/ws' },
  Docker: { base_url: 'http://nginx:8080', ws_url: 'ws://nginx:8080/ws' },
  Production: { base_url: 'https://chat.example.com', ws_url: 'wss://chat.example.com/ws' },
};
