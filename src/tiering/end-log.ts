/** The end of a log in its data directory, detached or deleted: one commit, after which it is no log of the engine. */
import { present } from '../base/assert.ts'
import type { Location, ManifestEdit } from '../format/manifest.ts'
import type { SegmentEntries } from '../format/segment-entries.ts'
import type { LiveLog } from '../log/live-log.ts'
import { logDeleted } from '../log/log-deleted.ts'
import type { DiskContext } from './context.ts'
import { commitAgain } from './unsure-ends.ts'

/** Takes a log from those of its engine, and its name from it where it is sure that it has ended. */
export type Leave = (isSure: boolean) => void

/** Deletes a log: runs `commit` while nothing is appended to it. */
export async function endLog(
  log: LiveLog,
  forget: Leave,
  commit: (leave: Leave) => Promise<void>,
): Promise<void> {
  await log.alter(async () => {
    const leave: Leave = (isSure) => {
      forget(isSure)
      log.close(logDeleted(log.name))
    }
    await commit(leave)
    leave(true)
    return { policy: log.policy, isDenseFromHere: false, isOwed: false }
  })
}

/**
 * A commit that was answered with an error may have been done. As long as nobody knows, the log takes no append: the
 * next opening would not bring it back. `leave` is called then, which keeps its name from other logs, and the commit is
 * tried again; `done` is called when that is through.
 */
export async function commitEnd(
  disk: DiskContext,
  { id }: LiveLog,
  end: ManifestEdit,
  { leave, done }: { readonly leave: Leave; readonly done: () => void },
): Promise<void> {
  const { manifest } = disk
  try {
    await manifest.commit((state) => (state.logs.has(id) ? [end] : []))
  } catch (error) {
    try {
      await manifest.settle()
    } catch {
      leave(false)
      commitAgain(disk, id, end, done)
      throw error
    }
    if (manifest.state.logs.has(id)) throw error
  }
}

/** The copies on disk of all that the partition has. */
export function diskCopies(segments: SegmentEntries): readonly Location[] {
  return Array.from(segments.having('disk'), ({ disk }) => present(disk, 'a disk copy'))
}
