/** A continuous query over the logs of an engine: what it needs of them. Loaded with the first one. */
import { StratalogError } from '../base/errors.ts'
import { STAMPED_TIME_COLUMN } from '../format/schema.ts'
import { userFields } from '../format/schema-evolution.ts'
import type { LiveLog } from '../log/live-log.ts'
import { rowReader } from '../query/result-values.ts'
import type { StreamedLog } from '../query/stream/stream-ports.ts'
import { StreamRun } from '../query/stream/stream-run.ts'
import type { OpenedStream } from '../query/stream/window-stream.ts'
import type { Engine } from './engine.ts'
import { readableLog } from './readable-log.ts'
import { type StreamSqlOptions, streamRequest } from './stream-options.ts'

export interface StreamSource {
  readonly engine: Engine
  /** @throws StratalogError `engine_closed`. */
  readonly assertOpen: () => void
}

export async function openStream(
  { engine, assertOpen }: StreamSource,
  sql: string,
  options: StreamSqlOptions,
  signal: AbortSignal,
): Promise<OpenedStream> {
  const request = streamRequest(sql, options, signal)
  if (engine.isReadOnly && request.live)
    throw new StratalogError(
      'argument_invalid',
      'An engine that only reads sees what there was when it was opened: say live: false.',
    )
  const { registry, queries, ports } = engine
  const run = await StreamRun.open(
    {
      clock: ports.clock,
      metrics: ports.metrics,
      openLog: (name) => {
        assertOpen()
        const log = registry.get(name)
        return streamedLog(log, () => {
          assertOpen()
          // Detached, or another one of the same name by now.
          if (!registry.has(name) || registry.get(name) !== log) throw gone(name)
        })
      },
      viewOf: (name) => registry.get(name).view(),
      query: (text, parameters, queryOptions) => queries.query(text, parameters, queryOptions),
    },
    request,
  )
  return { run, rowsOf: ({ columns, batches }) => rowsOf(columns, batches) }
}

function* rowsOf(
  columns: Parameters<typeof rowReader>[0],
  batches: Iterable<Parameters<ReturnType<typeof rowReader>>[0]>,
): Generator<Record<string, unknown>> {
  const read = rowReader(columns)
  for (const batch of batches) yield* read(batch)
}

function streamedLog(log: LiveLog, assertThere: () => void): StreamedLog {
  const readable = readableLog(log, assertThere)
  return {
    id: log.id,
    name: log.name,
    timeColumn: log.definition.timeColumn ?? STAMPED_TIME_COLUMN,
    partitionCount: readable.partitionCount,
    columns: () => (log.schema === null ? null : userFields(log.schema).map(({ name }) => name)),
    rangeOf: (partition) => readable.rangeOf(partition),
    newestStart: (partition, count) => readable.newestStart(partition, count),
    viewOf: (partition, from, to) => readable.viewOf(partition, from, to),
    pin: (ranges) => {
      assertThere()
      return log.view(ranges)
    },
    waitFor: (partition, offset, signal) => readable.waitFor(partition, offset, signal),
  }
}

function gone(name: string): StratalogError {
  return new StratalogError('log_not_found', `The log '${name}' is not there any more.`, {
    details: { log: name, nearest: null },
  })
}
