/** A WAL file by itself: its header, then frame by frame until one does not check out. */
import {
  WAL_FILE_HEADER_BYTES,
  type WalFileFacts,
  decodeWalFileHeader,
} from '../../format/wal-file.ts'
import {
  WAL_FRAME_ALIGNMENT,
  WAL_FRAME_HEADER_BYTES,
  type WalFrame,
  isPayloadIntact,
  peekFrame,
  readFrameHeader,
  walFrameBytes,
} from '../../format/wal-frame.ts'
import type { CommonFacts, Inspection, Problem } from './inspection.ts'

interface AppendedRange {
  readonly logId: number
  readonly partition: number
  from: number
  to: number
  records: number
}

/**
 * Frames that end before the file does are normal: files are made longer than what was written. So is a last frame that
 * is not whole: a crash leaves one. Intact frames of this file behind such a place are damage.
 */
export function inspectWal(bytes: Uint8Array, common: CommonFacts): Inspection {
  const header = decodeWalFileHeader(bytes, { engineId: null, startLsn: null }, common.file)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const counts: Record<WalFrame['kind'], number> = { append: 0, schema: 0, seal: 0, roll: 0 }
  const ranges = new Map<string, AppendedRange>()
  let position = WAL_FILE_HEADER_BYTES
  let last: WalFrame | null = null
  for (;;) {
    const frame = intactFrame(bytes, view, position, header.salt)
    if (frame === null) break
    counts[frame.kind]++
    if (frame.kind === 'append') addRange(ranges, frame)
    last = frame
    position += walFrameBytes(frame.payloadLength)
    if (frame.kind === 'roll') break
  }
  const unfinished = endProblems(view, position, last)
  const behind = last?.kind === 'roll' ? null : nextIntact(bytes, view, position, header)
  const problems = behind === null ? [] : [damageBefore(position, behind)]
  const report = {
    kind: 'wal',
    ...common,
    startLsn: header.startLsn,
    epoch: header.epoch,
    capacity: header.capacity,
    endLsn:
      header.startLsn +
      position -
      WAL_FILE_HEADER_BYTES -
      (last?.kind === 'roll' ? WAL_FRAME_HEADER_BYTES : 0),
    usedBytes: position,
    durableLsn: last?.durableLsn ?? header.startLsn,
    end: endOf(last, unfinished, problems),
    frames: counts,
    appends: [...ranges.values()],
    unfinished: problems.length > 0 ? [] : unfinished,
    problems,
  }
  return { report, problems }
}

function endOf(
  last: WalFrame | null,
  unfinished: readonly Problem[],
  problems: readonly Problem[],
): string {
  if (problems.length > 0) return 'damaged'
  if (last?.kind === 'roll' || last?.kind === 'seal') return last.kind
  return unfinished.length > 0 ? 'unfinished' : 'open'
}

/** The first intact frame behind `position` that was written to this place of this file, not left by an earlier use. */
function nextIntact(
  bytes: Uint8Array,
  view: DataView,
  position: number,
  { salt, startLsn, epoch }: WalFileFacts,
): WalFrame | null {
  const end = bytes.length - WAL_FRAME_HEADER_BYTES
  for (let at = position + WAL_FRAME_ALIGNMENT; at <= end; at += WAL_FRAME_ALIGNMENT) {
    if (peekFrame(view, at)?.lsn !== startLsn + at - WAL_FILE_HEADER_BYTES) continue
    const frame = intactFrame(bytes, view, at, salt)
    if (frame?.epoch === epoch) return frame
  }
  return null
}

function damageBefore(position: number, { lsn, durableLsn }: WalFrame): Problem {
  return {
    position,
    reason: `the frame at byte ${position} is not intact, and the one at LSN ${lsn} behind it is (it was written when all before LSN ${durableLsn} was durable)`,
  }
}

function intactFrame(
  bytes: Uint8Array,
  view: DataView,
  position: number,
  salt: number,
): WalFrame | null {
  const frame = readFrameHeader(bytes, view, position, salt)
  if (frame === null) return null
  const payload = bytes.subarray(
    position + WAL_FRAME_HEADER_BYTES,
    position + walFrameBytes(frame.payloadLength),
  )
  return isPayloadIntact(frame, payload) ? frame : null
}

function addRange(ranges: Map<string, AppendedRange>, frame: WalFrame): void {
  const { logId, partition, baseOffset, recordCount } = frame
  const key = `${logId}/${partition}`
  const range = ranges.get(key) ?? {
    logId,
    partition,
    from: baseOffset,
    to: baseOffset,
    records: 0,
  }
  range.from = Math.min(range.from, baseOffset)
  range.to = Math.max(range.to, baseOffset + recordCount)
  range.records += recordCount
  ranges.set(key, range)
}

/** Bytes of a frame that begins where the last intact one ended, and is not intact. */
function endProblems(view: DataView, position: number, last: WalFrame | null): readonly Problem[] {
  if (last?.kind === 'roll' || position + WAL_FRAME_HEADER_BYTES > view.byteLength) return []
  return peekFrame(view, position) === null
    ? []
    : [{ position, reason: 'a frame begins here and is not intact' }]
}
