/**
 * Where a WAL goes on that failed, and what the next writer has to know of it: read from the files, as after a crash.
 *
 * The process knows which LSN it acknowledged up to. Everything below has to be there, or nothing goes on; what lies
 * above was never acknowledged, may be in the page cache only, and is left behind.
 */
import { StratalogError } from '../base/errors.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import { type WalRecovered, listWalFiles, readWal } from './wal-scan.ts'

export interface WalCut {
  /** Everything below is durable. */
  readonly lsn: number
  /** Whether an error of the disk ended the epoch. */
  readonly isNewEpoch: boolean
}

export interface WalCutOptions {
  readonly fileSystem: SyncFileSystem
  readonly directory: string
  readonly engineId: string
  /** Where recovery starts. */
  readonly checkpointLsn: number
  readonly cut: WalCut
  /** LSNs of frames whose payloads were damaged when the directory was opened. */
  readonly damagedLsns: ReadonlySet<number>
  /** Lets other work have its turn. */
  readonly pause: () => Promise<void>
}

/** Other work has its turn after so many bytes. */
const READ_BYTES_AT_ONCE = 4 * 1024 * 1024

/**
 * After an error of the disk everything is read that recovery would need; else only what the next file begins with.
 * @throws StratalogError `wal_corrupt` when something below the cut is damaged or missing that was sound before; and of
 * the file system.
 */
export async function recoverCut(options: WalCutOptions): Promise<WalRecovered> {
  const { fileSystem, directory, engineId, checkpointLsn, cut, damagedLsns } = options
  const newest = listWalFiles(fileSystem, directory).at(-1) ?? 0
  const fromLsn = cut.isNewEpoch ? checkpointLsn : Math.max(checkpointLsn, newest)
  const frames = readWal(fileSystem, directory, {
    engineId,
    fromLsn,
    untilLsn: cut.lsn,
    onDamaged: ({ lsn }, error) => {
      if (!damagedLsns.has(lsn)) throw error
    },
  })
  let bytes = 0
  for (;;) {
    const next = frames.next()
    if (next.done === true) {
      const { endLsn, durableLsn } = next.value
      if (endLsn !== cut.lsn) throw lostEnd(directory, endLsn, cut.lsn)
      return { fromLsn: checkpointLsn, durableLsn, endLsn, isCut: true }
    }
    bytes += next.value.payload.length
    if (bytes < READ_BYTES_AT_ONCE) continue
    bytes = 0
    await options.pause()
  }
}

function lostEnd(directory: string, endLsn: number, durableLsn: number): StratalogError {
  const reason = `it ends at LSN ${endLsn}, and everything below LSN ${durableLsn} was durable`
  return new StratalogError('wal_corrupt', `${directory} has lost its end: ${reason}.`, {
    details: { file: directory, position: null, lsn: endLsn, reason },
  })
}
