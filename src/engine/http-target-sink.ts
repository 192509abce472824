/** The HTTP sink of a replay, with this machine's network. */
import { toNdjson } from '../query/ndjson.ts'
import { httpSink } from '../replay/http-sink.ts'
import type { ReplaySink } from '../replay/sink.ts'
import { openHttpPoster } from '../storage/http-post.ts'
import { resolveHttpTarget } from '../storage/http-target.ts'
import type { EnginePorts } from './ports.ts'
import { replayedBatch } from './replayed-batch.ts'

/** An endpoint that takes NDJSON by POST. */
export interface HttpEndpoint {
  /** `http` or `https`; of this machine unless `hosts` names its host. */
  readonly url: string
  /** Host names or addresses that may be reached, with a port for that port alone. */
  readonly hosts?: readonly string[]
  /** Whether they may have addresses of a private network. */
  readonly allowPrivate?: boolean
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface ClosableSink extends ReplaySink {
  close(): void
}

/** @throws StratalogError `url_invalid`, `sink_unavailable`. */
export async function openHttpSink(
  { url, hosts = [], allowPrivate = false, headers = {} }: HttpEndpoint,
  { clock, random }: Pick<EnginePorts, 'clock' | 'random'>,
  signal: AbortSignal | undefined,
): Promise<ClosableSink> {
  const target = await resolveHttpTarget(url, { hosts, allowPrivate })
  const poster = openHttpPoster(target, clock)
  const sink = httpSink(
    { url: `${target.url.origin}${target.url.pathname}`, headers, signal },
    {
      clock,
      random,
      post: (body, sent, aborted) => poster.post(body, sent, aborted),
      encode: (log, partition, batch) => {
        const { fields, columns, length } = replayedBatch(log, partition, batch)
        return toNdjson({ names: fields.map(({ name }) => name), columns, length })
      },
    },
  )
  return { ...sink, close: () => poster.close() }
}
