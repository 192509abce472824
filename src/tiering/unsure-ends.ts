/**
 * Ends of logs that a commit to the local manifest was answered with an error for: it may have been done. Such a log
 * takes no append any more, and what was in RAM of it is in the WAL only, which no live log holds. So the end is
 * committed again, at the latest with the next checkpoint: the WAL lets go of nothing of a log that is there still.
 */
import type { ManifestEdit, ManifestState } from '../format/manifest.ts'
import type { DiskContext, TieringContext } from './context.ts'

interface UnsureEnd {
  readonly edit: ManifestEdit
  readonly done: () => void
}

/** By id of the log. */
const ends = new WeakMap<DiskContext, Map<number, UnsureEnd>>()

/** @param done is called once the manifest is known to have the end. */
export function commitAgain(
  disk: DiskContext,
  logId: number,
  edit: ManifestEdit,
  done: () => void,
): void {
  const unsure = ends.get(disk) ?? new Map<number, UnsureEnd>()
  ends.set(disk, unsure.set(logId, { edit, done }))
}

export function areEndsUnsure({ disk }: TieringContext): boolean {
  return disk !== null && (ends.get(disk)?.size ?? 0) > 0
}

/** What is to be committed of them. */
export function unsureEdits(disk: DiskContext, { logs }: ManifestState): readonly ManifestEdit[] {
  return [...(ends.get(disk) ?? [])].flatMap(([id, { edit }]) => (logs.has(id) ? [edit] : []))
}

/** After a commit of the above. */
export function endsAreSure(disk: DiskContext, { logs }: ManifestState): void {
  const unsure = ends.get(disk)
  for (const [id, { done }] of unsure ?? []) {
    if (logs.has(id)) continue
    unsure?.delete(id)
    done()
  }
}
