/** How a new log becomes durable: its id and its name in one commit, before anything is appended to it. */
import { isDeepStrictEqual } from 'node:util'
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import type { LogState, ManifestEdit, ManifestState } from '../format/manifest.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import type { Engine } from './engine.ts'

export function commitLogTo(manifest: ManifestStore): Engine['commitLog'] {
  // Only a commit that failed, and was done all the same, leaves a log that the engine does not know.
  let mayHoldUnknown = false
  return async (make) => {
    let made: LogState | null = null
    try {
      await manifest.commit((state) => {
        const wanted = make(state.nextLogId)
        assertNotDetached(state, wanted)
        const found = mayHoldUnknown ? committedBefore(state, wanted) : null
        made = found ?? wanted
        return found === null ? creationOf(wanted) : []
      })
    } catch (error) {
      mayHoldUnknown = true
      throw error
    }
    return present<LogState>(made, 'a committed log was made')
  }
}

/**
 * A log of the same name that the manifest has and the engine does not know: an earlier creation was answered with an
 * error and done all the same. It is the one that is wanted when nothing but its id and time differ.
 * @throws StratalogError `log_exists` when more differs.
 */
function committedBefore(state: ManifestState, wanted: LogState): LogState | null {
  for (const log of state.logs.values()) {
    if (log.definition.name !== wanted.definition.name) continue
    // Whatever the order of keys: one of the two was read from a file.
    if (isDeepStrictEqual(likenessOf(log), likenessOf(wanted))) return log
    throw new StratalogError(
      'log_exists',
      `A log '${wanted.definition.name}' was created otherwise before, by a call that failed. Close the engine and open it again to use that one.`,
      { details: { log: wanted.definition.name } },
    )
  }
  return null
}

/** The archive has a log of that name: two of one name could not be told apart there. */
function assertNotDetached(
  { detachedLogs }: ManifestState,
  { definition: { name } }: LogState,
): void {
  if (detachedLogs.size === 0 || ![...detachedLogs.values()].includes(name)) return
  throw new StratalogError(
    'log_exists',
    `The archive has a log '${name}', which was detached from this directory. Attach it, or take another name.`,
    { details: { log: name } },
  )
}

function likenessOf({ definition, schemas, partitions }: LogState): unknown {
  return { definition: { ...definition, id: 0, createdAt: 0 }, schemas, partitions }
}

/** A fork has segments from the beginning. */
function creationOf({ definition, schemas, partitions }: LogState): readonly ManifestEdit[] {
  const logId = definition.id
  const edits: ManifestEdit[] = [
    {
      kind: 'log-created',
      log: definition,
      startOffsets: partitions.map((partition) => partition.startOffset),
    },
    ...schemas.map((schema) => ({ kind: 'schema-added' as const, logId, schema })),
  ]
  for (const [partition, { segments, denseFrom, producers }] of partitions.entries()) {
    const place = { logId, partition }
    for (const segment of segments) edits.push({ kind: 'segment-added', ...place, segment })
    if (denseFrom !== undefined)
      edits.push({ kind: 'offsets-dense-from', ...place, offset: denseFrom })
    const known = [...(producers?.values() ?? [])]
    if (known.length > 0)
      edits.push({ kind: 'producers-noted', ...place, producers: known, forgotten: [] })
  }
  return edits
}
