import { ChatClient } from 'chat-service-client';

const { service, conversation, token } = Object.fromEntries(new URLSearchParams(location.search));
const chat = new ChatClient({ url: service, getToken: () => token });
chat.subscribe(conversation, () => {
  const { messages, pending } = chat.conversation(conversation);
  const texts = [...messages.map(({ senderId, content }) => `${senderId}: ${content}`), ...pending.map(({ item }) => item.body.content)];
  const rows = texts.map((text) => Object.assign(document.createElement('li'), { textContent: text }));
  document.querySelector('ul').replaceChildren(...rows);
});
document.querySelector('form').onsubmit = (event) => {
  event.preventDefault();
  chat.send(conversation, event.target.text.value);
};
await chat.connect().open(conversation);
