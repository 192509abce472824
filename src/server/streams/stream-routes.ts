/** The Durable Streams protocol at `/v1/stream/…`; the streams are found when the first request comes. */
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import { PREFLIGHT_HEADERS } from '../cors.ts'
import type { Exchange } from '../exchange.ts'
import type { Scope } from '../rights.ts'
import type { Route } from '../router.ts'
import { appendToStream } from './append-stream.ts'
import type { LivePorts } from './live-stream.ts'
import { readStream } from './read-stream.ts'
import {
  CLOSED,
  EXPIRES_AT,
  NEXT_OFFSET,
  TTL,
  asksToClose,
  configOf,
  contentTypeOf,
  producerOf,
} from './stream-headers.ts'
import { checkedStreamPath, logNameStart } from './stream-names.ts'
import { offsetToken } from './stream-offset.ts'
import type { StreamRegistry, StreamRegistryPorts } from './stream-registry.ts'

const PATH = '/v1/stream/{path...}'

export function streamRoutes(
  open: () => Promise<StreamRegistry>,
  { clock, random }: StreamRegistryPorts,
): readonly Route[] {
  let opening: Promise<StreamRegistry> | null = null
  let registry: StreamRegistry | null = null
  const opened = async (): Promise<StreamRegistry> => {
    try {
      opening ??= open()
      registry = await opening
      return registry
    } catch (error) {
      // A start that failed is tried again by the next request.
      opening = null
      throw error
    }
  }
  const route = (
    method: Route['method'],
    scope: Scope,
    summary: string,
    run: (exchange: Exchange, streams: StreamRegistry, path: string) => Promise<void> | void,
  ): Route => ({
    method,
    path: PATH,
    scope,
    summary,
    logOf: (exchange) => logNameStart(pathOf(exchange)),
    run: (exchange) => {
      const path = pathOf(exchange)
      if (registry !== null) return run(exchange, registry, path)
      return opened().then((streams) => run(exchange, streams, path))
    },
  })
  const live = (streams: StreamRegistry): LivePorts => ({
    clock,
    random,
    touch: (stream) => streams.touch(stream),
  })
  return [
    {
      ...route('PUT', 'append', 'Create a stream, or a fork of one.', createStream),
      readsOf: sourceOf,
    },
    route('POST', 'append', 'Append to a stream, close it, or both.', append),
    route(
      'GET',
      'read',
      'Read a stream: what is there, the next to come, or all that comes.',
      (exchange, streams, path) => readStream(exchange, streams.get(path), live(streams)),
    ),
    route('HEAD', 'read', 'Where a stream ends, and what it is.', describe),
    route('DELETE', 'admin', 'Delete a stream.', async (exchange, streams, path) => {
      await streams.delete(path)
      exchange.send(204)
    }),
    {
      method: 'OPTIONS',
      path: PATH,
      scope: null,
      summary: 'What a page of another site would be allowed.',
      run: preflight,
    },
  ]
}

function pathOf(exchange: Exchange): string {
  return checkedStreamPath(exchange.parameters['path'] ?? '')
}

/** A fork shows what its source has. */
function sourceOf(exchange: Exchange): string | null {
  const { forkedFrom } = configOf(exchange)
  return forkedFrom === null ? null : logNameStart(forkedFrom)
}

async function createStream(
  exchange: Exchange,
  streams: StreamRegistry,
  path: string,
): Promise<void> {
  const asked = configOf(exchange)
  const body = await exchange.body(VALUE_BYTES_MAX)
  const { stream, isNew } = await streams.create(path, asked, body, asksToClose(exchange))
  exchange.send(isNew ? 201 : 200, {
    'content-type': stream.identity.contentType,
    [NEXT_OFFSET]: offsetToken(stream.tail),
    ...closedHeader(stream.isClosed),
    ...(isNew ? { location: urlOf(exchange) } : {}),
  })
}

function urlOf(exchange: Exchange): string {
  const scheme = 'encrypted' in exchange.request.socket ? 'https' : 'http'
  return `${scheme}://${exchange.host ?? ''}${exchange.path}`
}

async function append(exchange: Exchange, streams: StreamRegistry, path: string): Promise<void> {
  const producer = producerOf(exchange)
  const body = await exchange.body(VALUE_BYTES_MAX)
  const stream = streams.get(path)
  const close = asksToClose(exchange)
  const answer = await appendToStream(streams, stream, {
    contentType: contentTypeOf(exchange),
    body,
    seq: exchange.header('stream-seq') ?? null,
    producer,
    close,
  })
  streams.touch(stream)
  const isApplied = producer !== null && !answer.isDuplicate && body.length > 0
  exchange.send(isApplied ? 200 : 204, {
    [NEXT_OFFSET]: offsetToken(answer.offset),
    [CLOSED]: answer.isClosed ? 'true' : undefined,
    'producer-epoch': producer === null ? undefined : String(producer.epoch),
    'producer-seq': answer.sequence === null ? undefined : String(answer.sequence),
  })
}

function describe(exchange: Exchange, streams: StreamRegistry, path: string): void {
  const stream = streams.get(path)
  const { id, contentType, ttlSeconds, expiresAt } = stream.identity
  const { tail, isClosed } = stream
  exchange.send(200, {
    'content-type': contentType,
    'cache-control': 'no-store',
    etag: `"${id}:-1:${tail}${isClosed ? ':c' : ''}"`,
    [NEXT_OFFSET]: offsetToken(tail),
    ...closedHeader(isClosed),
    ...(ttlSeconds === null ? {} : { [TTL]: String(ttlSeconds) }),
    ...(expiresAt === null ? {} : { [EXPIRES_AT]: expiresAt }),
  })
}

function closedHeader(isClosed: boolean): Readonly<Record<string, string>> {
  return isClosed ? { [CLOSED]: 'true' } : {}
}

/** The protocol answers it to every origin; one that is not allowed gets no permission with it. */
function preflight(exchange: Exchange): void {
  exchange.send(204, PREFLIGHT_HEADERS)
}
