/**
 * The files of the WAL that is being written: making the next one, recycling released ones. Runs on the WAL thread.
 *
 * A file comes to be in steps that leave the WAL readable wherever a crash falls between them:
 * 1. under a temporary name: a new file, or a recycled one whose old frames the new header makes invalid;
 * 2. header (and, at recovery, the frames to be written again), zeros ahead, fsync;
 * 3. rename to its name, fsync of the directory: from here on it continues the file before;
 * 4. a roll frame in the file before says so, so that losing the new file is noticed.
 *
 * Zeros ahead of the writer make later writes overwrite bytes that exist, whose fdatasync has no metadata to write.
 * Recycled files are those that this writer released itself; what an earlier run left is removed, not trusted.
 *
 * A sync that fails is `disk_failed`, whatever the system says: unlike a write that found no room it may have lost what
 * was written before.
 */
import { isStratalogError, StratalogError } from '../base/errors.ts'
import { WAL_SPARE_FILES_MAX } from '../format/limits.ts'
import { walFileName } from '../format/paths.ts'
import { WAL_FILE_HEADER_BYTES, encodeWalFileHeader, walFileSalt } from '../format/wal-file.ts'
import { WAL_FRAME_HEADER_BYTES, finishFrameHeader, writeFrameFields } from '../format/wal-frame.ts'
import type { SyncFile, SyncFileSystem } from '../storage/file-system.ts'
import { isTemporaryName, temporaryPath } from '../storage/temporary-name.ts'
import { listWalFiles } from './wal-scan.ts'

/** Bytes; each file is twice as big as the one before, between the first two. */
export interface WalFileSizes {
  readonly fileBytesMin: number
  readonly fileBytesMax: number
  readonly zeroAheadBytes: number
}

export interface WalFilesOptions {
  readonly fileSystem: SyncFileSystem
  readonly directory: string
  readonly engineId: string
  readonly epoch: number
  readonly sizes: WalFileSizes
}

/** What a roll frame says: where the next file starts, in the terms of the file that it ends. */
export interface RollMark {
  readonly lsn: number
  readonly epoch: number
  readonly salt: number
  readonly link: number
}

/** The file that takes frames now. */
export class OpenWalFile {
  readonly path: string
  readonly startLsn: number
  readonly capacity: number
  readonly salt: number
  readonly #file: SyncFile
  readonly #zeroAheadBytes: number
  #position: number = WAL_FILE_HEADER_BYTES
  #zeroedEnd: number

  constructor(
    file: SyncFile,
    facts: {
      readonly path: string
      readonly startLsn: number
      readonly capacity: number
      readonly salt: number
    },
    zeroAheadBytes: number,
  ) {
    this.#file = file
    this.path = facts.path
    this.startLsn = facts.startLsn
    this.capacity = facts.capacity
    this.salt = facts.salt
    this.#zeroAheadBytes = zeroAheadBytes
    this.#zeroedEnd = file.length()
  }

  /** Where the next frame goes. */
  get position(): number {
    return this.#position
  }

  /** Whether a frame has room, and a roll frame behind it. */
  hasRoom(frameBytes: number): boolean {
    return this.#position + frameBytes + WAL_FRAME_HEADER_BYTES <= this.capacity
  }

  /** Writes whole frames behind the last. */
  append(frames: Uint8Array): void {
    this.#file.write(frames, this.#position)
    this.#position += frames.length
    this.zeroAhead()
  }

  /** Writes a part of a frame that is not whole yet; `frameWritten` counts it in. */
  writePart(bytes: Uint8Array, fromPosition: number): void {
    this.#file.write(bytes, this.#position + fromPosition)
  }

  frameWritten(frameBytes: number): void {
    this.#position += frameBytes
    this.zeroAhead()
  }

  /** Makes bytes for the writes to come, when the last one came to the end of those that exist. */
  zeroAhead(): void {
    if (this.#position < this.#zeroedEnd) return
    const end = Math.min(this.capacity, this.#position + this.#zeroAheadBytes)
    try {
      if (end > this.#position)
        this.#file.write(new Uint8Array(end - this.#position), this.#position)
      this.#zeroedEnd = end
    } catch (error) {
      // Zeros are a convenience; a full disk fails the frames themselves when they no longer fit.
      if (!isUnwritable(error)) throw error
    }
  }

  /**
   * Takes back the first `bytes` of a frame that found no room for the rest. Cut short it does not check out; but one
   * whose missing end happens to lie there already would.
   */
  erase(bytes: number): void {
    const length = Math.min(WAL_FRAME_HEADER_BYTES, bytes)
    if (length > 0) this.#file.write(new Uint8Array(length), this.#position)
  }

  dataSync(): void {
    syncing(() => this.#file.dataSync())
  }

  sync(): void {
    syncing(() => this.#file.sync())
  }

  close(): void {
    this.#file.close()
  }
}

export class WalFiles {
  readonly #options: WalFilesOptions
  /** Start LSNs, ascending; the last is being written. */
  #startLsns: number[]
  /** Paths of released files. */
  #spares: string[] = []
  #capacity = 0

  /** Removes what an earlier run left unfinished, and files wholly below `fromLsn`. */
  constructor(options: WalFilesOptions, fromLsn: number) {
    this.#options = options
    const { fileSystem, directory } = options
    fileSystem.makeDirectory(directory)
    // A name that is seen need not be durable: its maker may have died before its sync. It must be
    // before what it replaces goes.
    syncing(() => fileSystem.syncDirectory(directory))
    for (const name of fileSystem.list(directory)) {
      if (isTemporaryName(name)) fileSystem.remove(`${directory}/${name}`)
    }
    const all = listWalFiles(fileSystem, directory)
    const first = Math.max(
      0,
      all.findLastIndex((startLsn) => startLsn <= fromLsn),
    )
    for (const startLsn of all.slice(0, first)) fileSystem.remove(this.#path(startLsn))
    this.#startLsns = all.slice(first)
  }

  /**
   * Makes the file that continues the WAL at `startLsn`, durable with all that `fill` writes into
   * it. A file of that name is replaced. `contentBytes` have room in it.
   */
  create(
    startLsn: number,
    previousLink: number,
    contentBytes: number,
    fill: (file: OpenWalFile) => void,
  ): OpenWalFile {
    const { fileSystem, directory, sizes } = this.#options
    const needed = WAL_FILE_HEADER_BYTES + contentBytes + WAL_FRAME_HEADER_BYTES
    const wanted = Math.max(
      needed,
      Math.min(sizes.fileBytesMax, Math.max(sizes.fileBytesMin, this.#capacity * 2)),
    )
    const { path: temporary, file } = this.#takeSpare(wanted) ?? this.#newFile(startLsn)
    const capacity = Math.max(wanted, file.length())
    const path = this.#path(startLsn)
    let open: OpenWalFile
    try {
      open = this.#begin(file, { path, startLsn, capacity }, previousLink)
      fill(open)
      open.zeroAhead()
      open.sync()
      fileSystem.rename(temporary, path)
      syncing(() => fileSystem.syncDirectory(directory))
    } catch (error) {
      abandon(file, () => fileSystem.remove(temporary))
      throw error
    }
    this.#capacity = capacity
    this.#startLsns = [...this.#startLsns.filter((other) => other < startLsn), startLsn]
    return open
  }

  /** Start LSNs of the files that are there, ascending. */
  get startLsns(): readonly number[] {
    return this.#startLsns
  }

  /** Gives up the files that lie wholly below `lsn`: some are kept for the next rolls. */
  release(lsn: number): void {
    const { fileSystem } = this.#options
    for (
      let next = this.#startLsns[1];
      next !== undefined && next <= lsn;
      next = this.#startLsns[1]
    ) {
      const path = this.#path(this.#startLsns.shift() ?? 0)
      const spare = temporaryPath(path, 0)
      fileSystem.rename(path, spare)
      this.#spares.push(spare)
    }
    // The newest are kept: they are the biggest.
    for (const spare of this.#spares.splice(
      0,
      Math.max(0, this.#spares.length - WAL_SPARE_FILES_MAX),
    ))
      fileSystem.remove(spare)
  }

  /** Step 4: marks the end of the file that starts at `startLsn`, durably. */
  markRolled(startLsn: number, roll: RollMark): void {
    const { fileSystem } = this.#options
    const bytes = rollFrame(roll)
    const file = fileSystem.open(this.#path(startLsn), 'write')
    try {
      file.write(bytes, WAL_FILE_HEADER_BYTES + roll.lsn - startLsn)
      syncing(() => file.dataSync())
    } finally {
      file.close()
    }
  }

  #begin(
    file: SyncFile,
    facts: { readonly path: string; readonly startLsn: number; readonly capacity: number },
    previousLink: number,
  ): OpenWalFile {
    const { engineId, epoch, sizes } = this.#options
    const { startLsn, capacity } = facts
    const header = encodeWalFileHeader({ engineId, startLsn, capacity, epoch, previousLink })
    file.write(header, 0)
    return new OpenWalFile(file, { ...facts, salt: walFileSalt(header) }, sizes.zeroAheadBytes)
  }

  #path(startLsn: number): string {
    return `${this.#options.directory}/${walFileName(startLsn)}`
  }

  #newFile(startLsn: number): { readonly path: string; readonly file: SyncFile } {
    const path = temporaryPath(this.#path(startLsn), 0)
    return { path, file: this.#options.fileSystem.open(path, 'create') }
  }

  /** A released file of about the wanted length; smaller ones, from when files were small, are removed. */
  #takeSpare(wanted: number): { readonly path: string; readonly file: SyncFile } | null {
    const { fileSystem } = this.#options
    for (let path = this.#spares.shift(); path !== undefined; path = this.#spares.shift()) {
      const file = fileSystem.open(path, 'write')
      if (file.length() * 2 >= wanted) return { path, file }
      file.close()
      fileSystem.remove(path)
    }
    return null
  }
}

/** Whether an error says that nothing can be written now, and that what was written is as safe as before. */
export function isUnwritable(error: unknown): error is StratalogError {
  return isStratalogError(error) && (error.code === 'disk_full' || error.code === 'disk_read_only')
}

/** @throws StratalogError `disk_failed` */
function syncing(sync: () => void): void {
  try {
    sync()
  } catch (error) {
    if (!isStratalogError(error)) throw error
    throw diskFailed(error)
  }
}

export function diskFailed(cause: StratalogError): StratalogError {
  if (cause.code === 'disk_failed') return cause
  return new StratalogError('disk_failed', `The WAL cannot go on: ${cause.message}`, {
    cause,
    details: cause.details,
  })
}

/** Lets go of a file that did not come about; on a full disk it would be in the way of the next. */
function abandon(file: SyncFile, remove: () => void): void {
  for (const step of [() => file.close(), remove]) {
    try {
      step()
    } catch {
      // The next writer removes what is left.
    }
  }
}

function rollFrame(roll: RollMark): Uint8Array {
  const bytes = new Uint8Array(WAL_FRAME_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  const fields = {
    kind: 'roll',
    logId: 0,
    partition: 0,
    baseOffset: 0,
    recordCount: 0,
    appendTime: 0,
  } as const
  writeFrameFields(view, 0, fields, roll.lsn, 0)
  const seal = {
    epoch: roll.epoch,
    durableLsn: roll.lsn,
    previousLink: roll.link,
    payloadChecksum: 0,
  }
  finishFrameHeader(bytes, view, 0, seal, roll.salt)
  return bytes
}
