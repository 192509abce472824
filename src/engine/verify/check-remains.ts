/**
 * A place whose manifest is damaged: what its files hold all the same. What the newest sound state names is held
 * against that; any other segment, pack or WAL file against what it says of itself. What commits behind the damage let
 * go of is not missed; what the damaged commit let go of, nobody can tell from what is lost.
 */
import { type Range, mergeRanges, splitRanges } from '../../base/range.ts'
import { isStratalogError, throwIfAborted } from '../../base/errors.ts'
import { sha256Hex } from '../../format/checksum.ts'
import type { Location, ManifestEdit, ManifestState } from '../../format/manifest.ts'
import { decodePackIndex } from '../../format/pack.ts'
import { type SegmentName, packPath, parsePath } from '../../format/paths.ts'
import { parseSegmentTail } from '../../format/segment-reader.ts'
import type { SegmentFacts } from '../../format/segment.ts'
import { wholePartition } from '../../log/archive-view.ts'
import { type SegmentDamage, damageOf } from '../../log/segment-damage.ts'
import { segmentDamages } from '../../log/segment-damages.ts'
import { segmentEntry } from '../../tiering/encode.ts'
import { type CheckedManifest, type ManifestDamage, logNameIn } from './check-manifest.ts'
import { checkPacks } from './check-packs.ts'
import {
  type CheckedCopies,
  type CopyReading,
  type CopyTier,
  type NamedSegment,
  checkCopy,
  namedSegments,
} from './check-segments.ts'
import type { Findings, OtherCopy, VerifyRemains } from './verify-report.ts'

/** A damaged manifest, and the state before the damage. */
export interface DamagedManifest {
  readonly state: ManifestState
  readonly damage: ManifestDamage
}

export function damagedManifest({ position, damage }: CheckedManifest): DamagedManifest | null {
  return damage === null ? null : { state: position.state, damage }
}

/** What of a partition another place has, and can be read there. */
export type RangesOf = (logId: number, partition: number) => readonly Range[]

/** Offsets of one partition of a damaged place. */
interface KnownPartition {
  readonly logId: number
  readonly partition: number
  /** All that was there as far as anything says, readable or not. */
  readonly ranges: Range[]
  /** What lies in sound files. */
  readonly held: Range[]
}

export class RemainsCheck {
  readonly remains: VerifyRemains[] = []
  readonly #reading: CopyReading
  readonly #manifest: DamagedManifest
  readonly #findings: Findings
  readonly #copies: CheckedCopies
  /** What segments say of the log that wrote them. */
  readonly #names = new Map<number, string>()
  readonly #known = new Map<string, KnownPartition>()

  constructor(
    reading: CopyReading,
    manifest: DamagedManifest,
    findings: Findings,
    copies: CheckedCopies,
  ) {
    this.#reading = reading
    this.#manifest = manifest
    this.#findings = findings
    this.#copies = copies
  }

  logName(logId: number): string | null {
    const { state, damage } = this.#manifest
    return logNameIn(logId, state, damage.later) ?? this.#names.get(logId) ?? null
  }

  /** What lies in the place besides segments. */
  add(found: Omit<VerifyRemains, 'log'>): void {
    const { logId, partition, from, to } = found
    this.remains.push({ log: this.logName(logId), ...found })
    this.#know(logId, partition, from, to).held.push({ start: from, end: to })
  }

  /** Every segment and pack. `paths` are those that are there. */
  async segments(paths: ReadonlySet<string>): Promise<void> {
    const { tier } = this.#reading
    const named = [...namedSegments(this.#manifest.state)]
    const packs = new Set<string>()
    for (const each of named) {
      const location = each.segment[tier]
      if (location === null) continue
      packs.add(location.object)
      if (paths.has(location.object) || !this.#isLetGo(each)) await this.#named(each, location)
    }
    await checkPacks(named, this.#reading, this.#findings)
    for (const path of paths) if (!packs.has(path)) await this.#unnamed(path)
  }

  async #named(named: NamedSegment, location: Location): Promise<void> {
    const { log, partition, segment } = named
    const { tier, whereIs } = this.#reading
    await checkCopy(named, this.#reading, this.#findings, this.#copies)
    const { baseOffset: start, endOffset: end, sha256 } = segment
    const sound = splitRanges([{ start, end }], this.#copies.damaged(sha256, tier)).outside
    for (const range of sound) {
      const { position, object } = location
      const offsets = { from: range.start, to: range.end }
      const where = whereIs(object)
      this.add({ logId: log.definition.id, partition, ...offsets, in: tier, where, position })
    }
  }

  /** A file that the sound state does not name; it may be in a commit that is damaged or behind that, or an orphan. */
  async #unnamed(path: string): Promise<void> {
    const { readAll, whereIs, signal } = this.#reading
    throwIfAborted(signal)
    const parsed = parsePath(path)
    if (parsed?.kind !== 'segment' && parsed?.kind !== 'pack') return
    const where = whereIs(path)
    try {
      const bytes = await readAll(path)
      this.#findings.looked(bytes.length)
      if (parsed.kind === 'segment') {
        await this.#alone(bytes, { ...parsed, sha256: parsed.hash }, where, 0)
        return
      }
      const before = this.#findings.problems.length
      for (const entry of decodePackIndex(bytes, path)) {
        const part = bytes.subarray(entry.position, entry.position + entry.length)
        await this.#alone(part, entry, where, entry.position)
      }
      if (this.#findings.problems.length === before && packPath(sha256Hex(bytes)) !== path)
        this.#findings.file(where, 'checksum', 'Its SHA-256 is not that of its name.', true)
    } catch (error) {
      const damage = damageOf(error, 0, 0)
      // Gone since it was listed: its writer goes on.
      if (damage?.kind === 'missing') return
      if (damage !== null) this.#findings.file(where, damage.kind, damage.reason, false)
      else if (isStratalogError(error) && error.code === 'file_system_failed')
        this.#findings.file(where, 'unreadable', error.message, false)
      else throw error
    }
  }

  /** A segment by its name and its footer. `at` is where it begins in its file. */
  async #alone(bytes: Uint8Array, name: SegmentName, where: string, at: number): Promise<void> {
    const { logId, partition, baseOffset } = name
    const facts = factsOf(bytes)
    const isNamed =
      facts?.logId === logId && facts.partition === partition && facts.baseOffset === baseOffset
    if (facts === null || !isNamed) {
      const records = { log: this.logName(logId), partition, from: baseOffset, to: null }
      const kind = facts === null ? 'checksum' : 'swapped'
      const reason =
        facts === null
          ? 'Its footer is damaged, so nobody knows which offsets it had beyond the first.'
          : `It says that it is of log ${facts.logId}, partition ${facts.partition}, from offset ${facts.baseOffset} on.`
      const other: OtherCopy = { kind: 'none', readable: false }
      this.#findings.problems.push({ where, position: at, kind, ...records, reason, other })
      return
    }
    if (!this.#names.has(logId)) this.#names.set(logId, facts.logName)
    const { endOffset } = facts
    this.#know(logId, partition, baseOffset, endOffset)
    const damages = await this.#damages(bytes, name, facts)
    for (const { kind, from, to, position, reason } of damages) {
      const records = { log: this.logName(logId), partition, from, to }
      const other: OtherCopy = { kind: 'archive', logId }
      const byte = position === null ? null : at + position
      this.#findings.problems.push({ where, position: byte, kind, ...records, reason, other })
    }
    const all = [{ start: baseOffset, end: endOffset }]
    const damaged = mergeRanges(damages.map(({ from, to }) => ({ start: from, end: to })))
    for (const { start, end } of splitRanges(all, damaged).outside) {
      const offsets = { from: start, to: end }
      this.add({ logId, partition, ...offsets, in: this.#reading.tier, where, position: at })
    }
  }

  #damages(
    bytes: Uint8Array,
    name: SegmentName,
    facts: SegmentFacts,
  ): Promise<readonly SegmentDamage[]> {
    const own = sha256Hex(bytes)
    // A name has the beginning of it. Another one is damage, and the blocks say where.
    const sha256 = own.startsWith(name.sha256) ? own : name.sha256
    const place = { object: '', position: 0, length: bytes.length }
    const entry = segmentEntry({ facts, length: bytes.length, sha256 }, 'disk', place)
    return segmentDamages(bytes, entry, name)
  }

  #know(logId: number, partition: number, start: number, end: number): KnownPartition {
    const key = `${logId}/${partition}`
    const known = this.#known.get(key) ?? { logId, partition, ranges: [], held: [] }
    known.ranges.push({ start, end })
    this.#known.set(key, known)
    return known
  }

  /**
   * Tells of every partition what of it can be read, and how: `other` is what the other place has of it, the archive or
   * the directory; null where that was not looked at.
   */
  report(other: RangesOf | null): void {
    const { state, damage } = this.#manifest
    const gone = deletedLater(damage)
    for (const { definition, partitions, deletedAt } of state.logs.values()) {
      if (deletedAt !== undefined) continue
      for (const [partition, known] of partitions.entries()) {
        const { startOffset, endOffset } = wholePartition(known, partition)
        this.#know(definition.id, partition, startOffset, endOffset)
      }
    }
    const places = [...this.#known.values()].filter(({ logId }) => !gone.has(logId))
    places.sort((a, b) => a.logId - b.logId || a.partition - b.partition)
    for (const place of places) this.#reportPartition(place, other)
  }

  #reportPartition(
    { logId, partition, ranges, held }: KnownPartition,
    other: RangesOf | null,
  ): void {
    const { state, damage } = this.#manifest
    const { tier } = this.#reading
    const known = mergeRanges(ranges)
    const end = known.at(-1)?.end ?? 0
    const start = Math.max(known[0]?.start ?? end, startLater(damage, logId, partition))
    const whole = start < end ? [{ start, end }] : []
    const there = splitRanges(whole, other?.(logId, partition) ?? [])
    const elsewhere = splitRanges(
      there.outside,
      other === null ? uploadedRanges(state, logId, partition) : [],
    )
    const here = splitRanges(elsewhere.outside, mergeRanges(held))
    const lost = splitRanges(here.outside, leftOut(state, logId, partition)).outside
    const found = [
      ...there.inside.map((range) => ({ range, readable: true, reason: THERE[tier] })),
      ...elsewhere.inside.map((range) => ({ range, readable: null, reason: ELSEWHERE })),
      ...here.inside.map((range) => ({ range, readable: false, reason: HELD })),
      ...lost.map((range) => ({ range, readable: false, reason: LOST })),
    ].sort((a, b) => a.range.start - b.range.start)
    const { where, position, kind } = damage
    const log = this.logName(logId)
    for (const { range, readable, reason } of found) {
      const records = { log, partition, from: range.start, to: range.end }
      const copy: OtherCopy = { kind: 'none', readable }
      this.#findings.problems.push({ where, position, kind, ...records, reason, other: copy })
    }
  }

  /** A commit behind the damage says that the copy is none any more. */
  #isLetGo({ log, partition, segment }: NamedSegment): boolean {
    const { id } = log.definition
    return this.#manifest.damage.later.some(({ edits }) =>
      edits.some((edit) => {
        if (!('logId' in edit) || edit.logId !== id) return false
        if (edit.kind === 'log-deleted' || edit.kind === 'log-detached') return true
        if (!('partition' in edit) || edit.partition !== partition) return false
        return letsGo(edit, segment, this.#reading.tier)
      }),
    )
  }
}

/** By the tier of the damaged place. */
const THERE: Readonly<Record<CopyTier, string>> = {
  disk: 'They can be read from the archive.',
  object: 'They can be read from the data directory.',
}
const ELSEWHERE = 'The archive had a copy, and was not looked at.'
const HELD = 'They lie in sound files, which nothing opens without the manifest.'
const LOST = 'No sound file has them.'

function factsOf(bytes: Uint8Array): SegmentFacts | null {
  try {
    const tail = parseSegmentTail(bytes, bytes.length)
    return tail.kind === 'facts' ? tail.facts : null
  } catch (error) {
    if (isStratalogError(error)) return null
    throw error
  }
}

type PartitionEdit = Extract<ManifestEdit, { readonly partition: number }>

function letsGo(
  edit: PartitionEdit,
  { baseOffset, endOffset, object }: NamedSegment['segment'],
  tier: 'disk' | 'object',
): boolean {
  switch (edit.kind) {
    case 'segment-copy-dropped':
      return edit.tier === tier && edit.baseOffset === baseOffset
    case 'segments-replaced':
      return edit.segment.baseOffset <= baseOffset && endOffset <= edit.segment.endOffset
    case 'start-moved':
      return endOffset <= edit.startOffset
    case 'segments-collected':
      return edit.locations.some((location) => location.object === object?.object)
    default:
      return false
  }
}

function deletedLater({ later }: ManifestDamage): ReadonlySet<number> {
  const gone = new Set<number>()
  for (const { edits } of later)
    for (const edit of edits)
      if (edit.kind === 'log-deleted' || edit.kind === 'log-detached') gone.add(edit.logId)
  return gone
}

function startLater({ later }: ManifestDamage, logId: number, partition: number): number {
  let start = 0
  for (const { edits } of later)
    for (const edit of edits)
      if (edit.kind === 'start-moved' && edit.logId === logId && edit.partition === partition)
        start = Math.max(start, edit.startOffset)
  return start
}

/** Offsets that may be held by nothing and are no loss. */
function leftOut(state: ManifestState, logId: number, partition: number): readonly Range[] {
  const log = state.logs.get(logId)
  if (log?.definition.policy.mode === 'memory') return [{ start: 0, end: Infinity }]
  return [{ start: 0, end: log?.partitions[partition]?.denseFrom ?? 0 }]
}

/** What the sound state says that the archive has. */
function uploadedRanges(state: ManifestState, logId: number, partition: number): readonly Range[] {
  const segments = state.logs.get(logId)?.partitions[partition]?.segments ?? []
  return mergeRanges(
    [...segments].flatMap(({ baseOffset: start, endOffset: end, object }) =>
      object === null ? [] : [{ start, end }],
    ),
  )
}
