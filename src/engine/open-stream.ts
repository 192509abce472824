/** A continuous query over the logs of an engine: what it needs of them. Loaded with the first one. */
import { rowReader } from '../query/result-values.ts'
import type { StreamedLog } from '../query/stream/stream-ports.ts'
import { StreamRun } from '../query/stream/stream-run.ts'
import type { OpenedStream } from '../query/stream/window-stream.ts'
import type { Engine } from './engine.ts'
import type { LiveDirectory } from './live-directory.ts'
import { followedLog, streamedLog } from './streamed-log.ts'
import { type StreamSqlOptions, streamRequest } from './stream-options.ts'

export interface StreamSource {
  readonly engine: Engine
  /** @throws StratalogError `engine_closed`. */
  readonly assertOpen: () => void
  /** Of a directory that another process writes: finds what it appends. */
  readonly follow: FollowDirectory | null
}

export type FollowDirectory = (name: string, assertOpen: () => void) => LiveDirectory

export async function openStream(
  { engine, assertOpen, follow }: StreamSource,
  sql: string,
  options: StreamSqlOptions,
  signal: AbortSignal,
): Promise<OpenedStream> {
  const request = streamRequest(sql, options, signal)
  const { registry, queries, ports } = engine
  let followed: LiveDirectory | null = null
  const openLog = (name: string): StreamedLog => {
    if (!request.live || follow === null) return streamedLog(engine, name, assertOpen)
    assertOpen()
    registry.get(name)
    followed ??= follow(name, assertOpen)
    return followedLog(followed)
  }
  const close = async (): Promise<void> => followed?.close()
  const opening = StreamRun.open(
    {
      clock: ports.clock,
      metrics: ports.metrics,
      openLog,
      viewOf: (name) => registry.get(name).view(),
      query: (text, parameters, queryOptions) => queries.query(text, parameters, queryOptions),
    },
    request,
  )
  try {
    const run = await opening
    return { run, close, rowsOf: ({ columns, batches }) => rowsOf(columns, batches) }
  } catch (error) {
    await close()
    throw error
  }
}

function* rowsOf(
  columns: Parameters<typeof rowReader>[0],
  batches: Iterable<Parameters<ReturnType<typeof rowReader>>[0]>,
): Generator<Record<string, unknown>> {
  const read = rowReader(columns)
  for (const batch of batches) yield* read(batch)
}
