/**
 * A replay to an HTTP endpoint: NDJSON bodies, one after the other, each of consecutive records of one partition.
 *
 * A body is sent until it is answered with a status of 2xx, and nothing is sent before: the endpoint sets the pace. It
 * may come more than once, as an answer may be lost, and in another cut from a replay that went on from a resume point:
 * who must have each record once goes by `stratalog-log`, `stratalog-partition` and the offsets
 * `[stratalog-from, stratalog-to)`. The same body always has the same `idempotency-key`.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { type Random, randomFraction } from '../base/random.ts'
import type { LogDefinition } from '../format/manifest.ts'
import {
  type RecordBatch,
  endOffset,
  recordBatchBytes,
  sliceRecordBatch,
} from '../format/record-batch.ts'
import type { ReplaySink } from './sink.ts'

export interface PostAnswer {
  readonly status: number
  readonly retryAfterMs: number | null
}

export interface HttpSinkPorts {
  readonly clock: Clock
  readonly random: Random
  /** The records of a batch, a line each. */
  readonly encode: (log: LogDefinition, partition: number, batch: RecordBatch) => string
  /** @throws StratalogError `sink_unavailable` when no answer came. */
  readonly post: (
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ) => Promise<PostAnswer>
}

export interface HttpSinkOptions {
  /** For messages. */
  readonly url: string
  /** Sent with every body. */
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  readonly triesMax?: number
}

/** Of columns, before they become text, in one body at most, but for a single record that is bigger. */
const BODY_BYTES_MAX = 512 * 1024
const BODY_ROWS_MAX = 4096

const TRIES_MAX = 10
const DELAY_MIN_MS = 200
const DELAY_MAX_MS = 30_000

/** Answers after which the same body may be taken; what else is not 2xx stays as it is. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/** @throws from its calls StratalogError `sink_refused`, `sink_unavailable` after the last try, `aborted`. */
export function httpSink(options: HttpSinkOptions, ports: HttpSinkPorts): ReplaySink {
  return {
    begin: async () => null,
    append: async (log, partition, batch) => {
      for (const piece of bodies(batch)) await send(log, partition, piece, options, ports)
    },
    end: async () => {},
  }
}

function* bodies(batch: RecordBatch): Generator<RecordBatch, void, undefined> {
  const rowBytes = Math.max(1, recordBatchBytes(batch) / Math.max(1, batch.length))
  const rows = Math.max(1, Math.min(BODY_ROWS_MAX, Math.floor(BODY_BYTES_MAX / rowBytes)))
  for (let from = batch.baseOffset; from < endOffset(batch); from += rows)
    yield sliceRecordBatch(batch, from, Math.min(from + rows, endOffset(batch)))
}

async function send(
  log: LogDefinition,
  partition: number,
  batch: RecordBatch,
  { url, headers, signal, triesMax = TRIES_MAX }: HttpSinkOptions,
  { clock, random, encode, post }: HttpSinkPorts,
): Promise<void> {
  const { baseOffset: from } = batch
  const to = endOffset(batch)
  const body = Buffer.from(encode(log, partition, batch))
  const sent = {
    ...headers,
    'content-type': 'application/x-ndjson',
    'idempotency-key': `${log.name}/${partition}/${from}-${to}`,
    'stratalog-log': log.name,
    'stratalog-partition': String(partition),
    'stratalog-from': String(from),
    'stratalog-to': String(to),
  }
  for (let tries = 1; ; tries++) {
    const answer = await answerTo(() => post(body, sent, signal))
    if (answer.status >= 200 && answer.status < 300) return
    if (answer.status !== 0 && !PASSING_STATUSES.has(answer.status)) {
      throw new StratalogError(
        'sink_refused',
        `${url} answered ${answer.status} to offsets [${from}, ${to}) of '${log.name}', partition ${partition}.`,
        { details: { url, status: answer.status, log: log.name, partition, from, to } },
      )
    }
    if (tries >= triesMax) {
      throw new StratalogError(
        'sink_unavailable',
        `${url} did not take offsets [${from}, ${to}) of '${log.name}', partition ${partition}, in ${tries} tries.`,
        {
          cause: answer.error,
          details: { url, status: answer.status, log: log.name, partition, from, to },
        },
      )
    }
    const backoffMs =
      Math.min(DELAY_MAX_MS, DELAY_MIN_MS * 2 ** (tries - 1)) * randomFraction(random)
    const asked = Math.min(answer.retryAfterMs ?? 0, DELAY_MAX_MS)
    await clock.sleep(Math.max(backoffMs, asked), signal)
  }
}

/** Status 0: no answer came. */
async function answerTo(
  post: () => Promise<PostAnswer>,
): Promise<PostAnswer & { readonly error: unknown }> {
  try {
    return { ...(await post()), error: null }
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'sink_unavailable') throw error
    return { status: 0, retryAfterMs: null, error }
  }
}
