/** What a log that keeps the latest may let go of: records with a newer one of their key in the same partition. */
import { type AppendFacts, type LogSpec, type Values, keyOf } from './records.ts'

/** Of the model: a log, and an append to it. */
interface KnownLog {
  readonly spec: LogSpec
  entriesOf(partition: number): ReadonlyMap<number, KnownAppend>
}

interface KnownAppend extends Pick<AppendFacts, 'id' | 'count'> {
  readonly place: { readonly partition: number; readonly offset: number } | null
}

/** Whether the rows have a newer record of the append's key than all of its own. */
export function isSuperseded(
  { spec }: Pick<KnownLog, 'spec'>,
  { id, place, count }: KnownAppend,
  rows: readonly Values[],
): boolean {
  if (spec.keepsLatest !== true || place === null) return false
  const key = keyOf(id)
  const end = place.offset + count
  return rows.some((row) => row['key'] === key && Number(row['_offset']) >= end)
}

/** Whether the record at an offset of the append may be gone, by what is known to be there. */
export function mayBeGone(
  log: KnownLog,
  { id, place, count }: KnownAppend,
  offset: number,
): boolean {
  if (log.spec.keepsLatest !== true || place === null) return false
  if (offset < place.offset + count - 1) return true
  const others = log.entriesOf(place.partition)
  return [...others].some(([at, other]) => at > offset && keyOf(other.id) === keyOf(id))
}

/** Whether a record of an append cannot follow the last one of it. */
export function isOutOfTurn(index: number, last: number, isSparse: boolean): boolean {
  return isSparse ? index <= last : index !== last + 1
}
