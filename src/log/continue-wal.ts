/**
 * How a writer takes over the WAL of an earlier epoch: it makes the first file of its own, which cuts the old one.
 *
 * The scan read what the kernel showed it. After a crash of the process that may not be on disk
 * yet, and after a failed sync it never gets there though it reads well. So the new file begins at
 * the LSN up to which the frames prove themselves durable, and holds once more every frame from
 * there to the end, synced before the file gets its name:
 * - a crash before the rename leaves the old file as it was: recovery begins again and comes to the same state;
 * - a crash after it finds the new file whole, and does not read the old one beyond the new one's start.
 */
import { assert } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { walFileName } from '../format/paths.ts'
import {
  WAL_FILE_HEADER_BYTES,
  type WalFileFacts,
  decodeWalFileHeader,
} from '../format/wal-file.ts'
import {
  WAL_FRAME_HEADER_BYTES,
  finishFrameHeader,
  walFrameBytes,
  writeFrameFields,
} from '../format/wal-frame.ts'
import type { ScannedFrame } from './wal-file-reader.ts'
import type { OpenWalFile, WalFiles, WalFilesOptions } from './wal-files.ts'
import { type WalRecovered, readWal } from './wal-scan.ts'

/** Makes the first file of this writer, with the frames that are not proven durable. */
export function continueWal(
  options: WalFilesOptions,
  recovered: WalRecovered,
  files: WalFiles,
): { file: OpenWalFile; link: number } {
  const { fileSystem, directory, engineId } = options
  const { durableLsn, endLsn, isCut = false } = recovered
  const before = files.startLsns.at(-1) ?? null
  if (before === null) {
    assert(endLsn === 0, 'a WAL without files starts at 0')
    return { file: files.create(0, 0, 0, () => {}), link: 0 }
  }
  const old = readFacts(options, before)
  const isOlder = old.epoch < options.epoch || (isCut && old.epoch === options.epoch)
  if (!isOlder) throw newer(directory, old.epoch, options.epoch)
  const until = isCut ? { untilLsn: endLsn } : {}
  const frames = readWal(fileSystem, directory, { engineId, fromLsn: durableLsn, ...until })
  const first = frames.next()
  const previousLink =
    first.done === true ? unfollowedLink(old, durableLsn) : first.value.frame.previousLink
  let link = previousLink
  const file = files.create(durableLsn, previousLink, endLsn - durableLsn, (target) => {
    for (let next = first; next.done !== true; next = frames.next()) {
      link = rewriteFrame(target, next.value, link, durableLsn, options.epoch)
    }
    const written = durableLsn + target.position - WAL_FILE_HEADER_BYTES
    if (written !== endLsn) throw changed(directory, endLsn, written)
  })
  if (before < durableLsn) {
    const mark = { lsn: durableLsn, epoch: old.epoch, salt: old.salt, link: previousLink }
    files.markRolled(before, mark)
  }
  return { file, link }
}

/** The link of a file that starts where the old one has no frame: known only when that is where the old one starts. */
function unfollowedLink(
  old: { readonly startLsn: number; readonly previousLink: number },
  lsn: number,
): number {
  return old.startLsn === lsn ? old.previousLink : 0
}

function readFacts(options: WalFilesOptions, startLsn: number): WalFileFacts {
  const path = `${options.directory}/${walFileName(startLsn)}`
  const file = options.fileSystem.open(path, 'read')
  try {
    const header = new Uint8Array(WAL_FILE_HEADER_BYTES)
    const length = file.read(header, 0)
    return decodeWalFileHeader(
      header.subarray(0, length),
      { engineId: options.engineId, startLsn },
      path,
    )
  } finally {
    file.close()
  }
}

/** Appends a frame of an earlier epoch under this one; returns its link. */
function rewriteFrame(
  target: OpenWalFile,
  scanned: ScannedFrame,
  previousLink: number,
  durableLsn: number,
  epoch: number,
): number {
  const { frame, payload } = scanned
  const bytes = new Uint8Array(walFrameBytes(frame.payloadLength))
  const view = new DataView(bytes.buffer)
  writeFrameFields(view, 0, frame, frame.lsn, frame.payloadLength)
  bytes.set(payload, WAL_FRAME_HEADER_BYTES)
  const seal = { epoch, durableLsn, previousLink, payloadChecksum: frame.payloadChecksum }
  const link = finishFrameHeader(bytes, view, 0, seal, target.salt)
  target.append(bytes)
  return link
}

function newer(directory: string, found: number, own: number): StratalogError {
  const reason = `it was written in epoch ${found}, and a writer needs an epoch above those before; this one has ${own}`
  return new StratalogError('wal_corrupt', `${directory} is ahead of the manifest: ${reason}.`, {
    details: { file: directory, position: null, lsn: null, reason },
  })
}

function changed(directory: string, expected: number, found: number): StratalogError {
  return new StratalogError(
    'wal_corrupt',
    `${directory} changed since it was read: it ended at LSN ${expected}, now at ${found}.`,
    {
      details: {
        file: directory,
        position: null,
        lsn: found,
        reason: 'it changed since it was read',
      },
    },
  )
}
