/**
 * One look at one copy: whether it is there with its length, or whether its bytes are those that the manifest says.
 *
 * An archive that says the checksum of an object with its HEAD is believed, as after an upload; from others the bytes
 * are fetched. A copy passes through RAM in pieces; only a damaged one is read whole, to say which records it costs.
 */
import { isStratalogError, throwIfAborted } from '../base/errors.ts'
import { Sha256 } from '../format/checksum.ts'
import { isPackPath, segmentKey } from '../format/paths.ts'
import { type SegmentDamage, damageOf } from '../log/segment-damage.ts'
import { segmentDamages } from '../log/segment-damages.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { DiskContext } from './context.ts'
import type { SegmentCopy } from './scrub-copies.ts'

/** Of a copy in RAM at a time: small enough to be hashed without delaying anybody, and one request each. */
const FILE_PIECE_BYTES = 1024 * 1024
const OBJECT_PIECE_BYTES = 8 * 1024 * 1024

/** `presence`: it is there and has its length. `bytes`: and its SHA-256. */
export type LookDepth = 'presence' | 'bytes'

export interface LookPorts {
  /** Null: no copy on a disk is looked at. */
  readonly disk: DiskContext | null
  /** Null without an archive; then no copy there is looked at. */
  readonly store: ObjectStore | null
  /** Told of bytes that were read; resolves when more may be. */
  readonly pace: (bytes: number) => Promise<void>
  readonly signal: AbortSignal
}

/** What is wrong with a copy; nothing where it is sound. @throws StratalogError where nobody can tell now. */
export async function lookAt(
  ports: LookPorts,
  copy: SegmentCopy,
  depth: LookDepth,
): Promise<readonly SegmentDamage[]> {
  const { baseOffset: from, endOffset: to } = copy.segment
  throwIfAborted(ports.signal)
  try {
    return copy.tier === 'disk'
      ? await lookAtFile(ports, copy, depth)
      : await lookAtObject(ports, copy, depth)
  } catch (error) {
    const damage = damageOf(error, from, to)
    if (damage !== null) return [damage]
    if (!isStratalogError(error) || error.code !== 'file_system_failed') throw error
    return [{ kind: 'unreadable', from, to, position: null, reason: error.message }]
  }
}

async function lookAtFile(
  { disk, pace }: LookPorts,
  copy: SegmentCopy,
  depth: LookDepth,
): Promise<readonly SegmentDamage[]> {
  if (disk === null) return []
  const { fileSystem, dataDir } = disk
  const { segment, location } = copy
  const { position, length } = location
  const path = `${dataDir}/${location.object}`
  // Others may lie behind it in a pack.
  const isShort = (found: number): boolean =>
    isPackPath(location.object) ? found < position + length : found !== length
  if (depth === 'presence') {
    const stat = await fileSystem.stat(path)
    if (stat === null) return [missing(copy)]
    return isShort(stat.length) ? [truncated(copy, Math.max(0, stat.length - position))] : []
  }
  const file = await fileSystem.open(path)
  try {
    if (isShort(file.length)) return [truncated(copy, Math.max(0, file.length - position))]
    const hash = new Sha256()
    for (let start = 0; start < length; start += FILE_PIECE_BYTES) {
      const piece = await file.read(position + start, Math.min(FILE_PIECE_BYTES, length - start))
      hash.update(piece)
      await pace(piece.length)
    }
    if (hash.digestHex() === segment.sha256) return []
    return await segmentDamages(await file.read(position, length), segment, copy.owner)
  } finally {
    await file.close()
  }
}

async function lookAtObject(
  { store, pace, signal }: LookPorts,
  copy: SegmentCopy,
  depth: LookDepth,
): Promise<readonly SegmentDamage[]> {
  if (store === null) return []
  const { segment, location } = copy
  const { object, position, length } = location
  const head = await store.head(object, { checksum: depth === 'bytes', signal })
  if (head === null) return [missing(copy)]
  const isAlone = ownsObject(copy)
  const isShort = isAlone ? head.length !== length : head.length < position + length
  if (isShort) return [truncated(copy, Math.max(0, head.length - position))]
  if (isAlone && head.sha256 === segment.sha256) return []
  if (!isAlone || head.sha256 === null) {
    if (depth === 'presence') return []
    const hash = new Sha256()
    for (let start = 0; start < length; start += OBJECT_PIECE_BYTES) {
      const end = Math.min(start + OBJECT_PIECE_BYTES, length)
      const range = { start: position + start, end: position + end }
      hash.update(await store.get(object, { range, signal }))
      await pace(end - start)
    }
    if (hash.digestHex() === segment.sha256) return []
  }
  const range = { start: position, end: position + length }
  return segmentDamages(await store.get(object, { range, signal }), segment, copy.owner)
}

/** Whether the object holds this segment and nothing else. */
export function ownsObject({ logId, partition, segment, location }: SegmentCopy): boolean {
  return location.object === segmentKey({ ...segment, sha256: segment.sha256, logId, partition })
}

function missing({ segment: { baseOffset: from, endOffset: to } }: SegmentCopy): SegmentDamage {
  return { kind: 'missing', from, to, position: null, reason: 'It is not there.' }
}

function truncated({ segment }: SegmentCopy, bytes: number): SegmentDamage {
  const { baseOffset: from, endOffset: to, length } = segment
  const reason = `It has ${bytes} bytes, not ${length}.`
  return { kind: 'truncated', from, to, position: Math.min(bytes, length), reason }
}
