/** What a drill asks of a live engine, over HTTP too: its logs at one point, and hashes of their offsets. */
import { StratalogError } from '../base/errors.ts'
import {
  type LiveEngineFacts,
  type OffsetRange,
  hashView,
  latestHashIn,
  liveFacts,
} from '../replay/live-side.ts'
import { logDeleted } from '../log/log-deleted.ts'
import { type Stratalog, engineOf } from './stratalog.ts'

/** Whose logs they are, and every log, all as of one instant. */
export function liveLogs(db: Stratalog): LiveEngineFacts {
  const { engineId, registry } = engineOf(db)
  const views = [...registry.all()].map((log) => log.view())
  try {
    return { engineId, logs: views.map(liveFacts) }
  } finally {
    for (const view of views) view.release()
  }
}

/**
 * The hash of offsets of the log with that id, in one of the schemas that it ever had; null for that of a latest view
 * where there is none.
 * @throws StratalogError `log_not_found`, `log_deleted` when another has its name by now, `partition_not_found`,
 * `argument_invalid` for a schema that it never had.
 */
export async function hashOfLog(
  db: Stratalog,
  name: string,
  asked: {
    readonly id: number
    readonly schemaId: number
    readonly ranges: readonly OffsetRange[]
    /** Of the latest view of them. */
    readonly isLatest: boolean
  },
  signal: AbortSignal,
): Promise<string | null> {
  const log = engineOf(db).registry.get(name)
  if (log.id !== asked.id) throw logDeleted(name)
  for (const { partition } of asked.ranges) log.partition(partition)
  const view = log.view()
  try {
    const schema = view.schemas.find(({ id }) => id === asked.schemaId)
    if (schema === undefined)
      throw new StratalogError(
        'argument_invalid',
        `Log '${log.name}' has no schema ${asked.schemaId}.`,
      )
    const hash = asked.isLatest ? latestHashIn : hashView
    return await hash(view, schema, asked.ranges, signal)
  } finally {
    view.release()
  }
}
