/**
 * Reads one WAL file through a window: the frame at a position, with every check, and any frame
 * behind a position. What a failed check means is not decided here but in `wal-scan.ts`.
 *
 * Memory: the window, or the largest frame.
 */
import { StratalogError } from '../base/errors.ts'
import { APPEND_BYTES_MAX } from '../format/limits.ts'
import { walFileName } from '../format/paths.ts'
import {
  WAL_FILE_HEADER_BYTES,
  type WalDamageKind,
  type WalFileFacts,
  decodeWalFileHeader,
} from '../format/wal-file.ts'
import {
  WAL_FRAME_ALIGNMENT,
  WAL_FRAME_HEADER_BYTES,
  WAL_FRAME_MAGIC,
  type WalFrame,
  isPayloadIntact,
  peekFrame,
  readFrameHeader,
  walFrameBytes,
} from '../format/wal-frame.ts'
import type { SyncFile, SyncFileSystem } from '../storage/file-system.ts'

const WINDOW_BYTES = 1024 * 1024

export interface ScannedFrame {
  readonly frame: WalFrame
  readonly payload: Uint8Array
}

/** Why there is no valid frame somewhere; `frame` when at least its header is good. */
export interface Damage {
  readonly reason: string
  readonly kind: WalDamageKind
  readonly frame: WalFrame | null
  /** True where all of `frame` is as it was written but its payload: whose it was is known, and where it ends. */
  readonly isPayload?: true
  /** The end of the bytes that look as if a frame had been written there; 0 when none do. */
  readonly traceEnd: number
}

/** One WAL file, read through a window. */
export class WalFileReader {
  readonly startLsn: number
  readonly path: string
  readonly facts: WalFileFacts
  readonly #file: SyncFile
  readonly #length: number
  #window = new Uint8Array(0)
  #view = new DataView(this.#window.buffer)
  #windowStart = 0

  /** `engineId` null: it may be of any engine. */
  constructor(
    fileSystem: SyncFileSystem,
    directory: string,
    startLsn: number,
    engineId: string | null,
  ) {
    this.startLsn = startLsn
    this.path = `${directory}/${walFileName(startLsn)}`
    this.#file = fileSystem.open(this.path, 'read')
    try {
      this.#length = this.#file.length()
      const header = new Uint8Array(WAL_FILE_HEADER_BYTES)
      const length = this.#file.read(header, 0)
      this.facts = decodeWalFileHeader(
        header.subarray(0, length),
        { engineId, startLsn },
        this.path,
      )
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Of the file, in bytes. */
  get length(): number {
    return this.#length
  }

  close(): void {
    this.#file.close()
  }

  positionOf(lsn: number): number {
    return WAL_FILE_HEADER_BYTES + lsn - this.startLsn
  }

  /**
   * The frame at `position`, wholly below `end`, with its payload; or why there is none. `link` null is not checked.
   */
  frameAt(position: number, end: number, link: number | null): ScannedFrame | Damage {
    const at = this.#load(position, WAL_FRAME_HEADER_BYTES)
    if (at === null) return { reason: 'the file ends', kind: 'truncated', frame: null, traceEnd: 0 }
    const lsn = this.startLsn + position - WAL_FILE_HEADER_BYTES
    const frame = readFrameHeader(this.#window, this.#view, at, this.facts.salt)
    if (frame === null) {
      const traceEnd = this.#traceEnd(at, lsn)
      return { reason: 'there is no valid frame header', kind: 'checksum', frame, traceEnd }
    }
    const bytes = walFrameBytes(frame.payloadLength)
    const damaged = (reason: string, kind: WalDamageKind): Damage => ({
      reason,
      kind,
      frame,
      traceEnd: 0,
    })
    if (frame.lsn !== lsn) return damaged(`the frame there has LSN ${frame.lsn}`, 'swapped')
    if (frame.epoch !== this.facts.epoch)
      return damaged(`the frame there has epoch ${frame.epoch}`, 'swapped')
    if (link !== null && frame.previousLink !== link && frame.kind !== 'roll')
      return damaged('the frame there does not follow the one before', 'chain')
    if (position + bytes > end)
      return damaged('the frame there reaches beyond its file', 'truncated')
    const start = this.#load(position, bytes)
    if (start === null)
      return { ...damaged('the file ends inside the frame', 'truncated'), isPayload: true }
    const payload = this.#window.subarray(start + WAL_FRAME_HEADER_BYTES, start + bytes)
    if (!isPayloadIntact(frame, payload))
      return { ...damaged('the payload does not match its checksum', 'checksum'), isPayload: true }
    return { frame, payload: payload.subarray(0, frame.payloadLength) }
  }

  /** Every valid frame header behind `position`, wherever a frame could begin. */
  *validHeadersAfter(position: number): Generator<WalFrame> {
    const { salt, epoch, capacity } = this.facts
    const end = Math.min(this.#length, capacity) - WAL_FRAME_HEADER_BYTES
    let next = position + WAL_FRAME_ALIGNMENT
    while (next <= end) {
      const at = this.#load(next, WAL_FRAME_HEADER_BYTES)
      if (at === null) return
      const offset = nextMagic(this.#view, at)
      next = this.#windowStart + offset
      if (offset + WAL_FRAME_HEADER_BYTES > this.#window.length) continue
      const lsn = this.startLsn + next - WAL_FILE_HEADER_BYTES
      // The cheap test first: a recycled file is full of headers of other places.
      const isHere = peekFrame(this.#view, offset)?.lsn === lsn
      const frame = isHere ? readFrameHeader(this.#window, this.#view, offset, salt) : null
      if (frame?.epoch === epoch) yield frame
      next += WAL_FRAME_ALIGNMENT
    }
  }

  corrupt(position: number, { reason, kind, frame }: Omit<Damage, 'traceEnd'>): StratalogError {
    const lsn = this.startLsn + Math.max(0, position - WAL_FILE_HEADER_BYTES)
    const lost = frame?.kind === 'append' ? lostRange(frame) : null
    const what =
      lost === null
        ? ''
        : ` It held log ${lost.logId}, partition ${lost.partition}, offsets ${lost.from} to ${lost.to}.`
    return new StratalogError(
      'wal_corrupt',
      `${this.path} is damaged at byte ${position} (LSN ${lsn}): ${reason}.${what} Nothing was changed; what was archived can still be read and restored from the archive.`,
      {
        details: {
          file: this.path,
          position,
          lsn,
          reason,
          damage: kind,
          ...(lost ?? { logId: null, partition: null, from: null, to: null }),
        },
      },
    )
  }

  /** Brings `[position, position + length)` into the window; its place there, or null when the file ends before. */
  #load(position: number, length: number): number | null {
    const isThere =
      position >= this.#windowStart && position + length <= this.#windowStart + this.#window.length
    if (isThere) return position - this.#windowStart
    if (position + length > this.#length) return null
    const wanted = Math.min(Math.max(length, WINDOW_BYTES), this.#length - position)
    const window =
      this.#window.buffer.byteLength >= wanted
        ? new Uint8Array(this.#window.buffer)
        : new Uint8Array(wanted)
    const count = this.#file.read(window.subarray(0, wanted), position)
    this.#window = window.subarray(0, count)
    this.#view = new DataView(window.buffer, 0, count)
    this.#windowStart = position
    return count < length ? null : 0
  }

  #traceEnd(at: number, lsn: number): number {
    const trace = peekFrame(this.#view, at)
    if (trace?.lsn !== lsn || trace.payloadLength > APPEND_BYTES_MAX) return 0
    return this.#windowStart + at + walFrameBytes(trace.payloadLength)
  }
}

/**
 * Where the next magic with room for a header behind it lies in a window, from `start` on in steps of 8; else the first
 * place where no header has room.
 */
function nextMagic(view: DataView, start: number): number {
  let at = start
  for (; at + WAL_FRAME_HEADER_BYTES <= view.byteLength; at += WAL_FRAME_ALIGNMENT) {
    if (view.getUint32(at, true) === WAL_FRAME_MAGIC) return at
  }
  return at
}

function lostRange(frame: WalFrame): {
  logId: number
  partition: number
  from: number
  to: number
} {
  const { logId, partition, baseOffset, recordCount } = frame
  return { logId, partition, from: baseOffset, to: baseOffset + recordCount }
}
