/** A segment that holds some records of another: decoded, sliced and encoded again. For the edges of a restore. */
import type { Clock } from '../base/clock.ts'
import { joinInTurns } from '../base/in-turns.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import { segmentPath } from '../format/paths.ts'
import { segmentSteps } from '../format/segment-steps.ts'
import { type EncodedSegment, blockEnd } from '../format/segment.ts'
import { type OffsetRows, cutRows, writtenRows } from '../format/sparse-rows.ts'
import { runsWithin, termsOfSegment } from './record-terms.ts'
import { SegmentReading, type SegmentOwner } from './segment-reading.ts'

export interface CutSegment {
  readonly bytes: Uint8Array
  /** With a disk copy under its path, and no other. */
  readonly entry: SegmentEntry
}

/**
 * Null where the segment has no record of the range: older versions of keys are gone from it.
 * @param bytes the whole of `source`, checked already.
 * @param inLogId the log in whose directory it is to lie.
 * @throws StratalogError `segment_corrupt`.
 */
export async function cutSegment(
  bytes: Uint8Array,
  source: SegmentEntry,
  owner: SegmentOwner & { readonly engineId: string; readonly logName: string },
  range: { readonly from: number; readonly to: number; readonly clock: Clock },
  inLogId: number = owner.logId,
): Promise<CutSegment | null> {
  const reading = SegmentReading.fromBytes(bytes, source, owner)
  const { facts } = reading
  const wanted = reading.blocks(
    (block) => block.baseOffset < range.to && blockEnd(block) > range.from,
  )
  const rows: OffsetRows[] = []
  for await (const read of reading.readRows(wanted)) {
    const cut = cutRows(read, range.from, range.to)
    if (cut !== null) rows.push(cut)
  }
  if (rows.length === 0) return null
  const { records, sparse } = writtenRows(rows, {
    baseOffset: range.from,
    endOffset: range.to,
    latestTo: source.sparse?.latestTo ?? 0,
  })
  const { engineId, logId, logName, partition } = owner
  const { timeColumn, keyColumn } = facts
  const { format } = facts
  const place = { format, engineId, logId, logName, partition, timeColumn, keyColumn }
  const terms = runsWithin(termsOfSegment(facts), range.from, range.to)
  const header = { ...place, ...(sparse === undefined ? { terms } : { sparse }) }
  const pieces: Uint8Array[] = []
  const steps = await segmentSteps(header, records)
  for (;;) {
    const step = steps.next()
    if (step.done !== true) {
      pieces.push(step.value)
      await range.clock.yield()
      continue
    }
    return {
      bytes: await joinInTurns(pieces, range.clock),
      entry: entryOf(step.value, { logId: inLogId, partition }),
    }
  }
}

function entryOf(
  { facts, length, sha256 }: EncodedSegment,
  { logId, partition }: SegmentOwner,
): SegmentEntry {
  const { baseOffset, endOffset: end } = facts
  const { format } = facts
  const object = segmentPath({ logId, partition, baseOffset, sha256, format })
  return {
    baseOffset,
    endOffset: end,
    schemaId: facts.schema.id,
    timeMin: facts.timeMin,
    timeMax: facts.timeMax,
    appendTimeMin: facts.appendTimeMin,
    appendTimeMax: facts.appendTimeMax,
    rawBytes: facts.rawBytes,
    length,
    sha256,
    format,
    statistics: facts.statistics,
    disk: { object, position: 0, length },
    object: null,
    ...(facts.sparse === undefined ? {} : { sparse: facts.sparse }),
  }
}
