/**
 * Delete: a log ends, here and in the archive, and its name is free.
 *
 * 1. the archive is asked, so that nothing is begun that it could not be told of, or by a writer that was superseded;
 * 2. while nothing of the log moves and appends to it wait, what was appended before becomes durable, or is refused;
 * 3. commit to the local manifest that it is deleted;
 *    (a crash before leaves the log as it was; after it, files that no manifest names, which the next open removes, WAL
 *    frames of a log that is known to be gone, and an archive that knows of a log too many: it is told by the next
 *    writer, before anything else of its name)
 *    Where nobody knows whether it was committed, it is committed again (unsure-ends.ts);
 * 4. refuse what waited, end its readers, give RAM back, and remove the files when their readers let go. What a fork
 *    shares stays;
 * 5. commit the same to the archive's manifest: all segments of the log are retired, snapshots still name them, and
 *    `collect.ts` removes what nothing does.
 */
import { present } from '../base/assert.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import type { DiskContext, TieringContext } from './context.ts'
import { type Leave, commitEnd, diskCopies, endLog } from './end-log.ts'
import { removeFiles } from './evict.ts'

/**
 * To be called while nothing of the log moves.
 * @param place a `snapshotLocation` beside the archive, which is told too.
 * @param forget takes the log from those of the engine.
 * @throws StratalogError `log_deleted`, `store_unavailable` before anything was done, or after it where
 * `details.isDeleted` says so; and what the disk throws.
 */
export async function deleteLog(
  context: TieringContext,
  place: ArchiveWriter | null,
  log: LiveLog,
  forget: Leave,
): Promise<void> {
  const disk = present(context.disk, 'a log that is deleted here is of a directory')
  const archives = [context.archive, place].filter((archive) => archive !== null)
  for (const archive of archives) {
    await archive.settle()
    await (await archive.manifest()).refresh()
  }
  const afterwards = async (): Promise<void> => {
    dropFiles(context, disk, log)
    // One that is away keeps no other from hearing of it.
    const told = await Promise.allSettled(archives.map((archive) => tell(archive, log)))
    for (const result of told) if (result.status === 'rejected') throw result.reason
  }
  const done = (): void => {
    forget(true)
    afterwards().catch((error: unknown) => {
      context.logger.warn('A log was deleted late.', { log: log.name, reason: String(error) })
    })
  }
  await endLog(log, forget, async (leave) => {
    await settleAppends(context, log)
    const end = { kind: 'log-deleted', logId: log.id, deletedAt: null } as const
    await commitEnd(disk, log, end, { leave, done })
  })
  await afterwards()
}

async function tell(archive: ArchiveWriter, { id, name }: LiveLog): Promise<void> {
  try {
    await archive.tellDeleted(id)
  } catch (error) {
    if (!isStratalogError(error) || error.kind !== 'unavailable') throw error
    throw new StratalogError(
      error.code,
      `Log '${name}' is deleted, and ${archive.store.url} could not be told yet; it is told as soon as it can be. ${error.message}`,
      { cause: error, details: { ...error.details, log: name, isDeleted: true } },
    )
  }
}

/** Appends that wait for the WAL are answered. Where it has failed they are refused already. */
async function settleAppends({ wal }: TieringContext, log: LiveLog): Promise<void> {
  if (!log.usesWal || wal === null) return
  try {
    await wal.flush()
  } catch {
    // A log may be deleted to make room on a full disk.
  }
}

function dropFiles(context: TieringContext, disk: DiskContext, log: LiveLog): void {
  for (const { segments } of log.partitions) removeFiles(context, disk, diskCopies(segments), log)
}
