/** Every damage of a segment, block by block: what a reader would meet one after the other. */
import type { SegmentEntry } from '../format/manifest.ts'
import { recordsIn } from '../format/segment-entry.ts'
import { type BatchFacts, blockEnd } from '../format/segment.ts'
import { type SegmentDamage, checkSegment, damageOf } from './segment-damage.ts'
import { type SegmentOwner, SegmentReading } from './segment-reading.ts'

/** All that is wrong with the stored bytes of a segment; of its blocks, each that is damaged. */
export async function segmentDamages(
  bytes: Uint8Array,
  segment: SegmentEntry,
  owner: SegmentOwner,
): Promise<readonly SegmentDamage[]> {
  const first = await checkSegment(bytes, segment, owner)
  if (first !== null && first.kind !== 'checksum') return [first]
  const damages: SegmentDamage[] = []
  const { baseOffset, endOffset } = segment
  try {
    const reading = SegmentReading.fromBytes(bytes, segment, owner)
    const onDamage = (block: BatchFacts, error: unknown): void => {
      const damage = damageOf(error, block.baseOffset, blockEnd(block))
      if (damage === null) throw error
      damages.push({ ...damage, position: damage.position ?? block.position })
    }
    const all = reading.blocks(() => true)
    let rows = 0
    for await (const { batch } of reading.readRows(all, { onDamage })) rows += batch.length
    if (damages.length === 0 && rows !== recordsIn(segment)) return [rowCountDamage(segment, rows)]
  } catch (error) {
    const damage = damageOf(error, baseOffset, endOffset)
    if (damage === null) throw error
    return [damage]
  }
  // Bytes that no reader looks at: what the manifest names is still not what is there.
  return damages.length === 0 && first !== null ? [first] : damages
}

function rowCountDamage(segment: SegmentEntry, rows: number): SegmentDamage {
  const { baseOffset, endOffset } = segment
  const reason = `Its blocks hold ${rows} records, not ${recordsIn(segment)}.`
  return { kind: 'row-count', from: baseOffset, to: endOffset, position: null, reason }
}
