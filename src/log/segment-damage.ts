/** What is wrong with the bytes of a segment, as facts for a report: where, what kind, and which records it costs. */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { crc32c } from '../format/checksum.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import { blockRanges } from '../format/segment-reader.ts'
import { blockEnd } from '../format/segment.ts'
import type { SegmentSource } from './log-view.ts'
import { SegmentReading, type SegmentOwner } from './segment-reading.ts'
import { sha256Hex } from '../storage/checksum.ts'

/**
 * - `missing`: there are no such bytes;
 * - `truncated`: there are fewer bytes, or more, than were written;
 * - `checksum`: bytes differ from what was written;
 * - `swapped`: the bytes are a sound segment of something else;
 * - `row-count`: the manifest and the segment disagree about how many records there are;
 * - `unreadable`: anything else.
 */
export type DamageKind =
  | 'missing'
  | 'truncated'
  | 'checksum'
  | 'swapped'
  | 'row-count'
  | 'unreadable'

export interface SegmentDamage {
  readonly kind: DamageKind
  /** The offsets that cannot be read because of it. */
  readonly from: number
  readonly to: number
  /** Byte in the segment at or after which it lies; null when not known. */
  readonly position: number | null
  readonly reason: string
}

/** A missing object, as reports print it. */
export interface MissingObject {
  readonly key: string
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** A damaged object, as reports print it. */
export interface CorruptObject extends MissingObject {
  readonly position: number | null
  readonly kind: Exclude<DamageKind, 'missing'>
}

/** Sorts damages into the two lists of a report. */
export class DamageList {
  readonly missing: MissingObject[] = []
  readonly corrupt: CorruptObject[] = []

  get isEmpty(): boolean {
    return this.missing.length === 0 && this.corrupt.length === 0
  }

  add(key: string, log: string, partition: number, damage: SegmentDamage): void {
    const { kind, from, to, position } = damage
    if (kind === 'missing') this.missing.push({ key, log, partition, from, to })
    else this.corrupt.push({ key, log, partition, from, to, position, kind })
  }
}

/** The damage that an error of reading says, for offsets `[from, to)`; null when it says nothing of the bytes. */
export function damageOf(error: unknown, from: number, to: number): SegmentDamage | null {
  if (!isStratalogError(error)) return null
  const position = typeof error.details['position'] === 'number' ? error.details['position'] : null
  const damage = { from, to, position, reason: error.message }
  switch (error.code) {
    case 'object_not_found':
    case 'file_not_found':
      return { kind: 'missing', ...damage }
    case 'object_corrupt':
    case 'file_corrupt':
      return { kind: 'truncated', ...damage }
    case 'segment_corrupt':
      return { kind: kindOfSegmentError(error), ...damage }
    case 'format_unsupported':
      return { kind: 'unreadable', ...damage }
    default:
      return null
  }
}

/** The error of a reading that met damage: which file or object, which records it costs, and what can still be read. */
export function damageError(
  log: string,
  partition: number,
  source: SegmentSource,
  damage: SegmentDamage,
  cause: unknown,
): StratalogError {
  const { from, to, position, kind, reason } = damage
  const object =
    (source.tier === 'disk' ? source.segment.disk : source.segment.object)?.object ?? ''
  const code = isStratalogError(cause) ? cause.code : 'segment_corrupt'
  return new StratalogError(
    code,
    `${object}: ${reason} It holds log '${log}', partition ${partition}, offsets [${from}, ${to}); what lies before and after can be read.`,
    { cause, details: { object, tier: source.tier, log, partition, from, to, position, kind } },
  )
}

/**
 * Checks the whole stored bytes of a segment: length, SHA-256, and that the facts inside say what the manifest says.
 * Null when all is well. When the checksum fails, the damage is narrowed to the block it lies in.
 */
export async function checkSegment(
  bytes: Uint8Array,
  entry: SegmentEntry,
  owner: SegmentOwner,
): Promise<SegmentDamage | null> {
  const all = { from: entry.baseOffset, to: entry.endOffset }
  const isSound = bytes.length === entry.length && (await sha256Hex(bytes)) === entry.sha256
  if (bytes.length !== entry.length) {
    const position = Math.min(bytes.length, entry.length)
    return {
      kind: 'truncated',
      ...all,
      position,
      reason: `It has ${bytes.length} bytes, not ${entry.length}.`,
    }
  }
  try {
    const { facts } = SegmentReading.fromBytes(bytes, entry, owner)
    if (isSound) return null
    for (const [index, block] of facts.batches.entries()) {
      const isDamaged = blockRanges(facts, index).some(
        ({ start, end, checksum }) => crc32c(bytes.subarray(start, end)) !== checksum,
      )
      if (!isDamaged) continue
      const range = { from: block.baseOffset, to: blockEnd(block) }
      return {
        kind: 'checksum',
        ...range,
        position: block.position,
        reason: 'A block does not match its checksum.',
      }
    }
    return {
      kind: 'checksum',
      ...all,
      position: 0,
      reason: 'Its SHA-256 is not that of the manifest.',
    }
  } catch (error) {
    const damage = damageOf(error, all.from, all.to)
    if (damage === null) throw error
    return damage
  }
}

function kindOfSegmentError(error: StratalogError): DamageKind {
  const { damage } = error.details
  return damage === 'swapped' || damage === 'row-count' ? damage : 'checksum'
}
