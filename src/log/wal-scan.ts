/**
 * Reads the WAL's frames back, in LSN order, and decides where the WAL ends. Recovery's first half; changes nothing.
 *
 * The decision (docs/formats.md, WAL). A frame that does not check out is
 * - in a file that has a successor: corruption. A successor is made only after all before it was durable.
 * - in the newest file, with a valid frame behind it that was written when the damaged bytes were already durable:
 *   corruption. They may have been acknowledged.
 * - in the newest file otherwise: a torn tail. Nothing there was acknowledged by a frame that we
 *   can see; the WAL ends before.
 * Corruption is an error that names file, position and what is lost; nothing is cut, nothing is guessed. Where only the
 * payload of a frame is damaged, its header says whose it was and where the next frame lies: whoever takes such frames
 * (`onDamaged`) is given what there is, and the reading goes on behind it. Damage of a header always ends it.
 *
 * `durableLsn` of the result is how far the WAL proves itself durable. What lies between that and
 * `endLsn` was read from a file that may never have been synced, or whose sync failed, so the next
 * writer writes those frames once more before anyone relies on them (`wal-writer.ts`).
 *
 * Memory: one window over a file, or the largest frame.
 */
import { isStratalogError, StratalogError } from '../base/errors.ts'
import { parseWalFileName, walFileName } from '../format/paths.ts'
import { WAL_FILE_HEADER_BYTES, type WalDamageKind } from '../format/wal-file.ts'
import { type WalFrame, walFrameBytes } from '../format/wal-frame.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import { type Damage, type ScannedFrame, WalFileReader } from './wal-file-reader.ts'

export interface WalReadOptions {
  /** Null: it may be of any engine. */
  readonly engineId: string | null
  /** The start of a frame, or the end of the WAL: where the manifest's checkpoint says that recovery starts. */
  readonly fromLsn: number
  /** Where to stop: the start of a frame, or the end of the WAL. Left out: at the end, wherever that is. */
  readonly untilLsn?: number
  /** Where the manifest says that the WAL was once; null when it says that there was none, absent when nobody asked. */
  readonly reachedLsn?: number | null
  /** Is given each frame that is corrupt in its payload only, in its place; without it the error is thrown. */
  readonly onDamaged?: (frame: WalFrame, error: StratalogError) => void
}

export interface WalScanOptions extends WalReadOptions {
  /**
   * Gets every frame from `fromLsn` on. `payload` is without padding, starts at a multiple of 8,
   * and is good until return.
   */
  readonly onFrame: (frame: WalFrame, payload: Uint8Array) => void
}

/** What the next writer has to know of the WAL that it continues. */
export interface WalRecovered {
  readonly fromLsn: number
  /** Everything below was durable before the scan; never below the start of the newest file. */
  readonly durableLsn: number
  /** The LSN of the next frame. */
  readonly endLsn: number
  /**
   * True where a WAL goes on in the process that wrote it: what lies behind `endLsn` is not kept, because nobody was
   * told of it, and the epoch may stay.
   */
  readonly isCut?: boolean
}

export interface WalScanResult extends WalRecovered {
  /** Where bytes of unfinished frames begin in the newest file, and how many there are up to the last trace of one. */
  readonly torn: { readonly file: string; readonly position: number; readonly bytes: number } | null
  /** Start LSNs of the files that recovery needs, in order. */
  readonly files: readonly number[]
}

/**
 * Reads all frames from `fromLsn` on. @throws StratalogError `wal_corrupt`, `format_unsupported`,
 * or of the file system.
 */
export function scanWal(
  fileSystem: SyncFileSystem,
  directory: string,
  options: WalScanOptions,
): WalScanResult {
  const frames = readWal(fileSystem, directory, options)
  for (;;) {
    const next = frames.next()
    if (next.done === true) return next.value
    options.onFrame(next.value.frame, next.value.payload)
  }
}

/**
 * As `scanWal`, a frame at a time, for a caller that must pause between frames. A frame is good
 * until the next is asked for.
 */
export function* readWal(
  fileSystem: SyncFileSystem,
  directory: string,
  options: WalReadOptions,
): Generator<ScannedFrame, WalScanResult> {
  const { fromLsn } = options
  const files = neededFiles(fileSystem, directory, fromLsn)
  const progress: Progress = {
    lsn: fromLsn,
    durableLsn: Math.max(fromLsn, files.at(-1) ?? 0),
    link: null,
    epoch: 0,
  }
  let torn: WalScanResult['torn'] = null
  for (const [index, startLsn] of files.entries()) {
    const endLsn = files[index + 1] ?? null
    const reader = new WalFileReader(fileSystem, directory, startLsn, options.engineId)
    try {
      continueChain(reader, progress)
      torn = yield* readFile(reader, endLsn, options, progress)
    } finally {
      reader.close()
    }
  }
  const { reachedLsn = null } = options
  if (files.length === 0 && (fromLsn > 0 || reachedLsn !== null))
    throw missing(directory, fromLsn, 0)
  if (reachedLsn !== null && progress.lsn < reachedLsn)
    throw lostEnd(directory, files.at(-1) ?? 0, progress.lsn, reachedLsn)
  return { fromLsn, durableLsn: progress.durableLsn, endLsn: progress.lsn, torn, files }
}

/** Where the reading stands, across files. */
interface Progress {
  /** Of the next frame. */
  lsn: number
  durableLsn: number
  /** Header checksum of the frame before; null while it is unknown. */
  link: number | null
  epoch: number
}

/** Start LSNs of WAL files in a directory, ascending; none when there is no directory. */
export function listWalFiles(fileSystem: SyncFileSystem, directory: string): readonly number[] {
  try {
    const names = fileSystem.list(directory)
    return names.flatMap((name) => parseWalFileName(name) ?? []).sort((a, b) => a - b)
  } catch (error) {
    if (isStratalogError(error) && error.code === 'file_not_found') return []
    throw error
  }
}

function neededFiles(
  fileSystem: SyncFileSystem,
  directory: string,
  fromLsn: number,
): readonly number[] {
  const all = listWalFiles(fileSystem, directory)
  if (all.length === 0) return []
  const first = all.findLastIndex((startLsn) => startLsn <= fromLsn)
  if (first < 0) throw missing(directory, fromLsn, all[0] ?? 0)
  return all.slice(first)
}

/** Checks that a file is the one that follows what was read. */
function continueChain(reader: WalFileReader, progress: Progress): void {
  const { epoch, previousLink } = reader.facts
  if (epoch < progress.epoch)
    throw reader.corrupt(0, broken('its epoch is below that of the file before'))
  if (progress.link !== null && previousLink !== 0 && previousLink !== progress.link) {
    throw reader.corrupt(0, broken('it does not follow the file before'))
  }
  if (reader.startLsn >= progress.lsn) progress.link = previousLink
  progress.epoch = epoch
}

function* readFile(
  reader: WalFileReader,
  endLsn: number | null,
  options: WalReadOptions,
  progress: Progress,
): Generator<ScannedFrame, WalScanResult['torn']> {
  const { fromLsn, untilLsn } = options
  const end = endLsn === null ? reader.facts.capacity : reader.positionOf(endLsn)
  for (;;) {
    if (progress.lsn === endLsn || progress.lsn === untilLsn) return null
    const position = reader.positionOf(progress.lsn)
    const found = reader.frameAt(position, end, progress.link)
    if ('reason' in found) {
      let damage: Damage | null = worse(found, 'and a later file exists')
      if (endLsn === null) {
        if (progress.lsn === fromLsn) checkReaches(reader, fromLsn)
        damage = corruptionAt(reader, position, found, progress)
        if (damage === null) return tornTail(reader, position, found)
      }
      passDamage(reader, position, damage, options, progress)
      continue
    }
    const { frame } = found
    if (frame.kind === 'roll')
      throw reader.corrupt(
        position,
        broken('the file that continues it here is missing', 'missing'),
      )
    yield found
    goBehind(frame, progress)
  }
}

function goBehind(frame: WalFrame, progress: Progress): void {
  progress.lsn += walFrameBytes(frame.payloadLength)
  progress.link = frame.headerChecksum
  progress.durableLsn = Math.max(progress.durableLsn, frame.durableLsn)
}

/** Goes on behind a frame whose header is sound, for who takes such. @throws StratalogError the corruption. */
function passDamage(
  reader: WalFileReader,
  position: number,
  damage: Damage,
  { onDamaged }: WalReadOptions,
  progress: Progress,
): void {
  const error = reader.corrupt(position, damage)
  const { frame, isPayload = false } = damage
  if (onDamaged === undefined || frame === null || !isPayload) throw error
  onDamaged(frame, error)
  goBehind(frame, progress)
}

/**
 * The newest file has no frame at `fromLsn`. Then the WAL ends there, which its frames must show:
 * else `fromLsn` lies in a file that is missing.
 */
function checkReaches(reader: WalFileReader, fromLsn: number): void {
  let lsn = reader.startLsn
  while (lsn < fromLsn) {
    const found = reader.frameAt(reader.positionOf(lsn), reader.facts.capacity, null)
    // What recovery does not need may be damaged, if it still says where the next frame lies.
    const frame = 'reason' in found && found.isPayload !== true ? null : found.frame
    if (frame === null || frame.kind === 'roll') {
      throw reader.corrupt(
        reader.positionOf(lsn),
        broken(`the WAL ends there, and recovery starts at LSN ${fromLsn}`, 'missing'),
      )
    }
    lsn += walFrameBytes(frame.payloadLength)
  }
  if (lsn > fromLsn)
    throw reader.corrupt(reader.positionOf(fromLsn), broken('recovery starts inside a frame'))
}

/**
 * What makes a position of the newest file that holds no valid frame corrupt; null: it is a torn tail. What the frames
 * behind it prove durable counts from here on, wherever the reading ends.
 */
function corruptionAt(
  reader: WalFileReader,
  position: number,
  damage: Damage,
  progress: Progress,
): Damage | null {
  let why: string | null = null
  for (const later of reader.validHeadersAfter(position)) {
    if (later.durableLsn <= progress.lsn) continue
    why ??= `and the frame at LSN ${later.lsn} says that it was durable`
    progress.durableLsn = Math.max(progress.durableLsn, later.durableLsn)
  }
  if (progress.lsn < progress.durableLsn)
    why ??= `below LSN ${progress.durableLsn}, which was durable`
  return why === null ? null : worse(damage, why)
}

/** The traces of unfinished frames behind the last valid one; null when there are none. */
function tornTail(
  reader: WalFileReader,
  position: number,
  { frame, traceEnd: ownEnd }: Damage,
): WalScanResult['torn'] {
  let traceEnd = frame === null ? ownEnd : position + walFrameBytes(frame.payloadLength)
  for (const later of reader.validHeadersAfter(position))
    traceEnd = Math.max(traceEnd, reader.positionOf(later.lsn) + walFrameBytes(later.payloadLength))
  return traceEnd > position ? { file: reader.path, position, bytes: traceEnd - position } : null
}

/** All frames are sound, and there were more: what a torn tail would be if nobody knew better. */
function lostEnd(
  directory: string,
  startLsn: number,
  endLsn: number,
  reachedLsn: number,
): StratalogError {
  const file = `${directory}/${walFileName(startLsn)}`
  const position = WAL_FILE_HEADER_BYTES + endLsn - startLsn
  const reason = `it ends at LSN ${endLsn}, and the manifest knows that it was durable up to LSN ${reachedLsn}`
  return new StratalogError(
    'wal_corrupt',
    `${file} has lost its end: ${reason}. Nothing was changed; bring the file back, or restore what was archived.`,
    {
      details: {
        file,
        position,
        lsn: endLsn,
        reason,
        damage: 'stale',
        logId: null,
        partition: null,
        from: null,
        to: null,
      },
    },
  )
}

/** What no frame by itself shows. */
function broken(reason: string, kind: WalDamageKind = 'chain'): Omit<Damage, 'traceEnd'> {
  return { reason, kind, frame: null }
}

/** The damage, and what makes it no torn tail. */
function worse(damage: Damage, why: string): Damage {
  return { ...damage, reason: `${damage.reason}, ${why}` }
}

function missing(directory: string, fromLsn: number, haveLsn: number): StratalogError {
  const what = haveLsn > fromLsn ? 'what is there starts' : 'what is there ends'
  return new StratalogError(
    'wal_corrupt',
    `${directory}: WAL files are missing: recovery starts at LSN ${fromLsn}, and ${what} at LSN ${haveLsn}.`,
    {
      details: {
        file: directory,
        position: null,
        lsn: fromLsn,
        reason: 'files are missing',
        damage: 'missing',
        logId: null,
        partition: null,
        from: null,
        to: null,
      },
    },
  )
}
