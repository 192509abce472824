/**
 * The WAL writer: takes frames from the ring, writes them, makes them durable, says how far. A state machine without a
 * thread: `turn` does one round, on the WAL thread (`wal-thread.ts`) or inline (`wal.ts`).
 *
 * A round: take everything that is in the ring; write it, as many frames as lie in one stretch with
 * one write; fdatasync; publish the new durable LSN. What arrives during the fdatasync goes
 * together in the next round: group commit.
 *
 * Invariants:
 * - The durable LSN moves only after an fdatasync that started when every byte below it was written.
 * - A file is durable to its end before the next one is made, so damage before the newest file is never a torn tail.
 * - After an error nothing more is written. A failed sync is never called again, and nothing is published after it: the
 *   kernel may have dropped what it could not write. The frames are left to recovery under a new epoch.
 * - Where there was no room, or the file system is read-only, nothing was lost: the frames that were written whole are
 *   made durable and published, and what was cut short is erased. Then `details.isUndone` of the error is true: no
 *   frame above the durable LSN is in the files.
 * - Nothing is published, no file is made and none is given up after a successor replaced the lock's text.
 * - Opening writes once more, into the new file, every frame that the scan found but could not prove durable: the bytes
 *   may exist in the page cache only. So what recovery gives to readers is durable before they see it.
 */
import { assert, present } from '../base/assert.ts'
import { isStratalogError, StratalogError } from '../base/errors.ts'
import { crc32c } from '../format/checksum.ts'
import {
  WAL_FRAME_HEADER_BYTES,
  type WalFrameSeal,
  finishFrameHeader,
  peekFrame,
  walFrameBytes,
} from '../format/wal-frame.ts'
import { continueWal } from './continue-wal.ts'
import { type WalFence, assertHolder } from './wal-fence.ts'
import {
  type OpenWalFile,
  WalFiles,
  type WalFilesOptions,
  diskFailed,
  isUnwritable,
} from './wal-files.ts'
import type { RingConsumer } from './wal-ring.ts'
import type { WalRecovered } from './wal-scan.ts'

export interface WalWriterOptions extends WalFilesOptions {
  readonly recovered: WalRecovered
  readonly fence: WalFence | null
  readonly ring: RingConsumer
  /** The time in ms that syncs are measured by; null: they are not. */
  readonly monotonic: (() => number) | null
  /** Called when the durable LSN moved or the ring has room that the producer waits for. */
  readonly onProgress: () => void
}

/** A frame that is bigger than the ring lets through at once; its header is written last, when its payload is there. */
interface LargeFrame {
  readonly header: Uint8Array
  readonly bytes: number
  /** Bytes written so far, from the frame's first; the header counts though it is not written yet. */
  written: number
  payloadChecksum: number
}

export class WalWriter {
  readonly #options: WalWriterOptions
  readonly #ring: RingConsumer
  readonly #files: WalFiles
  #file: OpenWalFile
  #link: number
  /** The LSN after the last whole frame that was written. */
  #writtenLsn: number
  #durableLsn: number
  #releasedLsn = 0
  /** Frames that were written since the last sync. */
  #unsyncedFrames = 0
  #large: LargeFrame | null = null
  /** How much of the next frame may lie in the file, after a write that found no room. */
  #cutBytes = 0
  #isFailed = false

  /** Makes the file that continues the WAL; when this returns, everything below `recovered.endLsn` is durable. */
  constructor(options: WalWriterOptions) {
    this.#options = options
    this.#ring = options.ring
    const { recovered } = options
    failing(() => this.#assertHolder())
    this.#files = failing(() => new WalFiles(options, recovered.fromLsn))
    const continued = failing(() => continueWal(options, recovered, this.#files))
    this.#file = continued.file
    this.#link = continued.link
    this.#writtenLsn = recovered.endLsn
    this.#durableLsn = recovered.endLsn
  }

  /**
   * One round. False when there was nothing to do.
   * @throws StratalogError `disk_full`, `disk_read_only` or `disk_failed`; after that the writer does nothing more.
   */
  turn(): boolean {
    assert(!this.#isFailed, 'a failed WAL writer writes nothing more')
    try {
      return failing(() => this.#turn())
    } catch (error) {
      this.#isFailed = true
      const failure = isUnwritable(error) ? failing(() => this.#keepWhatIsWhole(error)) : error
      throw failure
    } finally {
      if (this.#isFailed) this.#closeFile()
    }
  }

  close(): void {
    if (!this.#isFailed) this.#closeFile()
  }

  #turn(): boolean {
    const released = this.#ring.releasedLsn()
    if (released > this.#releasedLsn) {
      this.#assertHolder()
      this.#releasedLsn = released
      this.#files.release(released)
    }
    const head = this.#ring.head()
    let worked = false
    for (;;) {
      const { position, length } = this.#ring.readable(head)
      if (length === 0) break
      worked = true
      if (this.#options.fence?.isStrict === true) this.#assertHolder()
      const taken =
        this.#large === null
          ? this.#takeFrames(position, length)
          : this.#takePart(this.#large, position, length)
      if (this.#ring.advance(taken)) this.#options.onProgress()
    }
    this.#makeDurable()
    return worked
  }

  /**
   * Takes frames from one stretch of the ring, at least one or the skip word; returns how many bytes it is done with.
   */
  #takeFrames(position: number, length: number): number {
    if (this.#ring.isSkip(position)) return length
    const end = this.#frameBytesAt(position)
    if (!this.#file.hasRoom(end)) this.#roll(end)
    if (end > this.#ring.wholeFrameBytesMax) return this.#beginLarge(position, end)
    let taken = 0
    let lsn = this.#writtenLsn
    let frames = 0
    while (taken < length && !this.#ring.isSkip(position + taken)) {
      const bytes = this.#frameBytesAt(position + taken, lsn)
      if (bytes > this.#ring.wholeFrameBytesMax || !this.#file.hasRoom(taken + bytes)) break
      this.#finishFrame(position + taken, bytes)
      taken += bytes
      lsn += bytes
      frames++
    }
    try {
      this.#file.append(this.#ring.bytes.subarray(position, position + taken))
    } catch (error) {
      if (isUnwritable(error)) this.#countWhole(position, taken, error)
      throw error
    }
    this.#writtenLsn = lsn
    this.#unsyncedFrames += frames
    return taken
  }

  /** Frames that went to the file whole before the rest of their write found no room are written. */
  #countWhole(position: number, length: number, { details }: StratalogError): void {
    const written = writtenOf(details)
    let whole = 0
    for (let next = 0; next < length; whole = next) {
      next += this.#frameBytesAt(position + whole, this.#writtenLsn + whole)
      if (next > (written ?? 0)) break
    }
    this.#cutBytes = written === null ? WAL_FRAME_HEADER_BYTES : written - whole
    if (whole === 0) return
    this.#file.frameWritten(whole)
    this.#writtenLsn += whole
  }

  /** After a write that found no room. Returns what to fail with. */
  #keepWhatIsWhole(error: StratalogError): StratalogError {
    const isUndone = this.#erase()
    this.#makeDurable(isUndone && this.#cutBytes > 0)
    const { code, message, details } = error
    return new StratalogError(code, message, { cause: error, details: { ...details, isUndone } })
  }

  #erase(): boolean {
    try {
      this.#file.erase(this.#cutBytes)
      return true
    } catch (error) {
      if (isUnwritable(error)) return false
      throw error
    }
  }

  #frameBytesAt(position: number, lsn: number = this.#writtenLsn): number {
    const frame = present(peekFrame(this.#ring.view, position), 'a frame in the ring')
    assert(frame.lsn === lsn, 'frames come through the ring in LSN order')
    return walFrameBytes(frame.payloadLength)
  }

  #finishFrame(position: number, frameBytes: number): void {
    const { bytes, view } = this.#ring
    const payload = bytes.subarray(position + WAL_FRAME_HEADER_BYTES, position + frameBytes)
    this.#link = finishFrameHeader(
      bytes,
      view,
      position,
      this.#seal(crc32c(payload)),
      this.#file.salt,
    )
  }

  #beginLarge(position: number, bytes: number): number {
    const header = this.#ring.bytes.slice(position, position + WAL_FRAME_HEADER_BYTES)
    this.#large = { header, bytes, written: WAL_FRAME_HEADER_BYTES, payloadChecksum: 0 }
    return WAL_FRAME_HEADER_BYTES
  }

  #takePart(large: LargeFrame, position: number, length: number): number {
    const taken = Math.min(length, large.bytes - large.written)
    const part = this.#ring.bytes.subarray(position, position + taken)
    this.#file.writePart(part, large.written)
    large.payloadChecksum = crc32c(part, large.payloadChecksum)
    large.written += taken
    if (large.written === large.bytes) this.#endLarge(large)
    return taken
  }

  #endLarge(large: LargeFrame): void {
    const { header, bytes } = large
    const view = new DataView(header.buffer, header.byteOffset, header.length)
    this.#link = finishFrameHeader(
      header,
      view,
      0,
      this.#seal(large.payloadChecksum),
      this.#file.salt,
    )
    try {
      this.#file.writePart(header, 0)
    } catch (error) {
      if (isUnwritable(error)) this.#cutBytes = writtenOf(error.details) ?? WAL_FRAME_HEADER_BYTES
      throw error
    }
    this.#file.frameWritten(bytes)
    this.#writtenLsn += bytes
    this.#unsyncedFrames++
    this.#large = null
  }

  #seal(payloadChecksum: number): WalFrameSeal {
    return {
      epoch: this.#options.epoch,
      durableLsn: this.#durableLsn,
      previousLink: this.#link,
      payloadChecksum,
    }
  }

  /** `isForced` syncs though no frame is waiting for it. */
  #makeDurable(isForced = false): void {
    const written = this.#writtenLsn
    if (written === this.#durableLsn && !isForced) return
    this.#sync()
    this.#assertHolder()
    this.#durableLsn = written
    this.#ring.publishDurable(written)
    this.#options.onProgress()
  }

  #sync(): void {
    const { monotonic } = this.#options
    const startedAt = monotonic?.() ?? 0
    this.#file.dataSync()
    if (monotonic !== null) this.#ring.countSync(monotonic() - startedAt, this.#unsyncedFrames)
    this.#unsyncedFrames = 0
  }

  /** Goes on in a new file, with room for a frame of `frameBytes`. */
  #roll(frameBytes: number): void {
    this.#makeDurable()
    this.#assertHolder()
    const full = this.#file
    const lsn = this.#writtenLsn
    this.#file = this.#files.create(lsn, this.#link, frameBytes, () => {})
    full.close()
    const mark = { lsn, epoch: this.#options.epoch, salt: full.salt, link: this.#link }
    this.#files.markRolled(full.startLsn, mark)
  }

  #assertHolder(): void {
    const { fence, fileSystem } = this.#options
    if (fence !== null) assertHolder(fileSystem, fence)
  }

  #closeFile(): void {
    try {
      this.#file.close()
    } catch {
      // The file is durable as far as was published, or abandoned; closing adds nothing.
    }
  }
}

/** How many bytes of a write were taken before it failed; null where the file system does not say. */
function writtenOf(details: StratalogError['details']): number | null {
  const { written } = details
  return typeof written === 'number' ? written : null
}

/**
 * Runs a step; errors of the file system come out as the WAL's: `disk_full`, `disk_read_only`, or `disk_failed` with
 * the first as cause.
 */
function failing<T>(step: () => T): T {
  try {
    return step()
  } catch (error) {
    if (!isStratalogError(error) || error.kind === 'corrupt' || error.kind === 'fenced') throw error
    if (error.code === 'format_unsupported') throw error
    throw isUnwritable(error) ? error : diskFailed(error)
  }
}
