// A proxy between client and service that hurts the connection as networks do: it cuts, delays, goes silent, repeats frames and swallows answers.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import WebSocket, { WebSocketServer } from 'ws';
import { SOCKET_URL } from './service';

interface Link {
  client: WebSocket;
  upstream: WebSocket;
  isSilent: boolean;
}

export class Proxy {
  /** Milliseconds that each frame waits, in both directions; frames keep their order. */
  delay = 0;
  /** Whether each event is passed on twice. */
  repeatsEvents = false;
  /** Whether answers are held back a little, so that events overtake them. */
  delaysAnswers = false;
  /** How long they are held back, in milliseconds. */
  answerDelay = 30;
  /** How many of the next numbered events are swallowed; the service never does that, and the client mends it all the same. */
  swallow = 0;
  /** How many of the next answers are lost: the connection breaks in place of each. */
  loses = 0;
  /** Whether new connections are refused. */
  refuses = false;
  /** How many connections were opened. */
  opened = 0;
  private readonly links = new Set<Link>();

  private constructor(
    private readonly server: Server,
    private readonly sockets: WebSocketServer,
  ) {
    server.on('upgrade', (request, socket, head) => {
      if (this.refuses) return void socket.destroy();
      const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
      const query = new URL(request.url ?? '', 'http://proxy').search;
      this.sockets.handleUpgrade(request, socket, head, (client) => this.link(client, SOCKET_URL + query, protocols));
    });
  }

  static async start(): Promise<Proxy> {
    const server = createServer();
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'chat.v1' });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Proxy(server, sockets);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}/ws`;
  }

  /** How many connections are open. */
  get open(): number {
    return this.links.size;
  }

  /** Breaks every connection without a close frame. */
  cut(): void {
    for (const { client, upstream } of this.links) {
      client.terminate();
      upstream.terminate();
    }
  }

  /** Lets every present connection go silent without closing it: a half-open connection. */
  silence(): void {
    for (const link of this.links) {
      link.isSilent = true;
      link.upstream.terminate();
    }
  }

  /** Closes every connection with a code, as the service would. */
  close(code: number): void {
    for (const { client } of this.links) client.close(code, 'test');
  }

  async stop(): Promise<void> {
    this.cut();
    this.sockets.close();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private link(client: WebSocket, url: string, protocols: string[]): void {
    this.opened += 1;
    const upstream = new WebSocket(url, protocols);
    const link: Link = { client, upstream, isSilent: false };
    this.links.add(link);
    const early: string[] = [];
    const toClient = (text: string) => !link.isSilent && client.readyState === WebSocket.OPEN && client.send(text);
    const toUpstream = (text: string) => {
      if (link.isSilent) return;
      if (upstream.readyState === WebSocket.OPEN) upstream.send(text);
      else early.push(text);
    };
    const later = (run: () => void, extra = 0) => (this.delay + extra > 0 ? setTimeout(run, this.delay + extra) : run());
    upstream.on('open', () => early.splice(0).forEach((text) => upstream.send(text)));
    upstream.on('message', (data) => {
      const text = String(data);
      const isAnswer = text.includes('"event":"ack"');
      if (this.swallow > 0 && text.includes('"seq":') && text.includes('"cursor":')) {
        this.swallow -= 1;
        return;
      }
      if (this.loses > 0 && isAnswer) {
        this.loses -= 1;
        client.terminate();
        return void upstream.terminate();
      }
      later(() => toClient(text), isAnswer && this.delaysAnswers ? this.answerDelay : 0);
      if (this.repeatsEvents && !isAnswer) later(() => toClient(text), 5);
    });
    client.on('message', (data) => {
      const text = String(data);
      later(() => toUpstream(text));
    });
    const end = (other: WebSocket) => (code: number, reason: Buffer) => {
      if (link.isSilent) return;
      this.links.delete(link);
      if (other.readyState === WebSocket.OPEN) other.close(code >= 3000 || code === 1000 ? code : 1001, reason);
      else other.terminate();
    };
    client.on('close', (code, reason) => {
      link.isSilent = false;
      end(upstream)(code, reason);
    });
    upstream.on('close', end(client));
    client.on('error', () => undefined);
    upstream.on('error', () => undefined);
  }
}
