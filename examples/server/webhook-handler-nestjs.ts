// A webhook receiver with NestJS: a guard verifies, a service works once per event, a controller answers.
//
// Create the application with `NestFactory.create(ChatWebhookModule.forRoot(secret), { rawBody: true })`: the signature is over the bytes.
import 'reflect-metadata';
import {
  type CanActivate,
  Controller,
  type DynamicModule,
  type ExecutionContext,
  HttpCode,
  Inject,
  Injectable,
  Logger,
  Module,
  Post,
  type RawBodyRequest,
  Req,
  UnauthorizedException,
  UseGuards,
} from '@nestjs/common';
import type { Request } from 'express';
import { verifyWebhook, WebhookError, type WebhookEvent } from './webhook-signature.js';

const SECRET = Symbol('the secret of the webhook endpoint');
export const HANDLERS = Symbol('what the product does with each type of event');

/** Handlers of your product, by type of event. */
export type Handlers = Record<string, (event: WebhookEvent) => Promise<void>>;
type VerifiedRequest = RawBodyRequest<Request> & { chatEvent?: WebhookEvent };

/** Lets through what the Chat Service signed, and nothing else. */
@Injectable()
export class ChatWebhookGuard implements CanActivate {
  constructor(@Inject(SECRET) private readonly secret: string) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<VerifiedRequest>();
    if (!request.rawBody) throw new Error('Create the application with { rawBody: true }.');
    try {
      request.chatEvent = verifyWebhook(this.secret, request.rawBody, request.headers);
    } catch (error) {
      if (error instanceof WebhookError) throw new UnauthorizedException(error.message);
      throw error;
    }
    return true;
  }
}

/** Does the work of each event once. An event may come more than once, under the same id: replace the set with a unique index of your database. */
@Injectable()
export class ChatWebhookService {
  private readonly seen = new Set<string>();
  private readonly logger = new Logger(ChatWebhookService.name);

  constructor(@Inject(HANDLERS) private readonly handlers: Handlers) {}

  async take(event: WebhookEvent): Promise<void> {
    if (this.seen.has(event.id)) return;
    this.seen.add(event.id);
    try {
      await this.handlers[event.type]?.(event);
    } catch (error) {
      // The answer is 500, so the event comes again.
      this.seen.delete(event.id);
      this.logger.error(`${event.type} ${event.id} failed; it will come again`);
      throw error;
    }
  }
}

@Controller('webhooks')
export class ChatWebhookController {
  constructor(@Inject(ChatWebhookService) private readonly service: ChatWebhookService) {}

  @Post('chat')
  @HttpCode(204)
  @UseGuards(ChatWebhookGuard)
  async receive(@Req() request: VerifiedRequest): Promise<void> {
    if (request.chatEvent) await this.service.take(request.chatEvent);
  }
}

@Module({})
export class ChatWebhookModule {
  static forRoot(secret: string, handlers: Handlers = {}): DynamicModule {
    return {
      module: ChatWebhookModule,
      controllers: [ChatWebhookController],
      providers: [{ provide: SECRET, useValue: secret }, { provide: HANDLERS, useValue: handlers }, ChatWebhookGuard, ChatWebhookService],
    };
  }
}
