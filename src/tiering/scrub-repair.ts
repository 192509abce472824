/**
 * Repair: a copy that is damaged or gone is made again from the other one, which is verified first; never from
 * anything else. The manifests name both already, so nothing is committed.
 *
 * A file: 1. fetch the object and check it; 2. keep a copy of the damaged file; 3. write a temporary file, fsync,
 * rename over it, fsync its directory. A crash in between leaves a temporary file, and the file as it was or as it
 * should be.
 *
 * An object: 1. read the file and check it; 2. ask the archive's manifest whether this is still its writer; 3. keep a
 * copy of the damaged object; 4. put it again and read it back. Its key follows from its content, so whoever puts it
 * puts the same; a put that is answered with an error is found, or made again, by the next look.
 *
 * Both copies are pinned meanwhile: what was dropped in between is removed when the repair is done, not brought back.
 */
import { inTurns } from '../base/in-turns.ts'
import { present } from '../base/assert.ts'
import { isStratalogError } from '../base/errors.ts'
import type { Location } from '../format/manifest.ts'
import { type PackedBytes, packSteps } from '../format/pack.ts'
import { PACKS_DIRECTORY, isPackPath, packPath } from '../format/paths.ts'
import { sha256Hex } from '../storage/checksum.ts'
import type { TieringContext } from './context.ts'
import { writeFile } from './packs.ts'
import { fetchVerified } from './recall.ts'
import { type SegmentCopy, copiesOf, isNamed, otherCopy } from './scrub-copies.ts'
import { readVerified } from './upload.ts'

/** Where copies go of what a repair replaces. Each names the copy, or is null where none could be made. */
export interface Quarantine {
  readonly file: (path: string) => Promise<string | null>
  readonly bytes: (path: string, bytes: Uint8Array) => Promise<string | null>
}

/**
 * Null once it is repaired, or is named by no manifest any more; else why it was not.
 * @throws StratalogError `writer_fenced`, `aborted`, `engine_closed`.
 */
export async function repairCopy(
  context: TieringContext,
  quarantine: Quarantine,
  copy: SegmentCopy,
): Promise<string | null> {
  const { pins } = context
  const other = otherCopy(context, copy)
  if (other === null) return 'No other copy is known.'
  if (context.archive === null) return 'The engine was opened without its archive.'
  const files = [copy.location.object, other.location.object]
  for (const file of files) pins.pin(file)
  try {
    if (!isNamed(context, copy)) return null
    if (isPackPath(copy.location.object)) return await repairPack(context, quarantine, copy, other)
    if (copy.tier === 'disk') await repairFile(context, quarantine, copy, other)
    else await repairObject(context, quarantine, copy, other)
    return null
  } catch (error) {
    if (!isStratalogError(error)) throw error
    if (['fenced', 'aborted', 'closed'].includes(error.kind)) throw error
    return error.message
  } finally {
    for (const file of files) pins.unpin(file)
  }
}

async function repairFile(
  context: TieringContext,
  quarantine: Quarantine,
  copy: SegmentCopy,
  other: SegmentCopy,
): Promise<void> {
  const { segment, location } = copy
  const disk = present(context.disk, 'a disk copy needs a disk')
  const archive = present(context.archive, 'an object copy is in an archive')
  const bytes = await fetchVerified(archive.store, other.segment)
  const { fileSystem, dataDir } = disk
  if ((await fileSystem.stat(`${dataDir}/${location.object}`)) !== null)
    await quarantine.file(location.object)
  if (!isNamed(context, copy)) return
  // The budget counts it already.
  await writeFile(context, disk, directoryOf(location), location.object, bytes, 0)
  await readVerified(disk, segment)
}

/**
 * In a pack the segment's own bytes are put back where they lie; those of others stay as they are. A pack that is gone
 * is made again from the other copies of all that lay in it, which gives the same bytes or is not done.
 */
async function repairPack(
  context: TieringContext,
  quarantine: Quarantine,
  copy: SegmentCopy,
  other: SegmentCopy,
): Promise<string | null> {
  const bytes = await soundBytes(context, other)
  const { object, position } = copy.location
  const found = await readPack(context, copy)
  let pack: Uint8Array
  if (found === null) {
    const made = await madeAgain(context, copy)
    if (made === null)
      return 'Other segments lay in the same pack, and not all of them have another copy.'
    pack = made
  } else {
    // Nobody checks the bytes of the others: read wrongly once, they would be written so.
    const again = await readPack(context, copy)
    if (again === null || Buffer.compare(found, again) !== 0)
      return 'Its pack reads differently each time.'
    pack = new Uint8Array(Math.max(found.length, position + bytes.length))
    pack.set(found)
    pack.set(bytes, position)
  }
  if (copy.tier === 'object') {
    const archive = present(context.archive, 'an object copy is in an archive')
    await (await archive.manifest()).refresh()
    if (found !== null) await quarantine.bytes(object, found)
    if (!isNamed(context, copy)) return null
    const sha256 = await sha256Hex(pack)
    await archive.store.put(object, pack, { sha256 })
    await archive.verify(object, pack.length, sha256)
    return null
  }
  const disk = present(context.disk, 'a disk copy needs a disk')
  if (found !== null) await quarantine.file(object)
  if (!isNamed(context, copy)) return null
  // The budget counts its segments already.
  await writeFile(context, disk, PACKS_DIRECTORY, object, pack, 0)
  await readVerified(disk, copy.segment)
  return null
}

/** The segment's bytes from a copy, verified. */
function soundBytes(context: TieringContext, { tier, segment }: SegmentCopy): Promise<Uint8Array> {
  if (tier === 'disk') return readVerified(present(context.disk, 'it has a disk'), segment)
  return fetchVerified(present(context.archive, 'it has an archive').store, segment)
}

/** The whole pack as it is; null where there is none. */
async function readPack(
  { disk, archive }: TieringContext,
  { tier, location: { object } }: SegmentCopy,
): Promise<Uint8Array | null> {
  if (tier === 'object') {
    const { store } = present(archive, 'an object copy is in an archive')
    return (await store.head(object, { checksum: false })) === null ? null : store.get(object)
  }
  const { fileSystem, dataDir } = present(disk, 'a disk copy needs a disk')
  const path = `${dataDir}/${object}`
  return (await fileSystem.stat(path)) === null ? null : fileSystem.read(path)
}

/** The bytes of a pack of which every segment has another sound copy; null where they are not those of its name. */
async function madeAgain(
  context: TieringContext,
  { tier, location: { object } }: SegmentCopy,
): Promise<Uint8Array | null> {
  // A fork names the same copies as its source.
  const inside = new Map<number, SegmentCopy>()
  for (const copy of copiesOf(context, null))
    if (copy.tier === tier && copy.location.object === object)
      inside.set(copy.location.position, copy)
  const segments: PackedBytes[] = []
  for (const [, copy] of [...inside].sort(([a], [b]) => a - b)) {
    const other = otherCopy(context, copy)
    if (other === null) return null
    const { owner, segment } = copy
    const { baseOffset, sha256, format } = segment
    const name = { ...owner, baseOffset, sha256, format }
    segments.push({ name, bytes: await soundBytes(context, other) })
  }
  const { bytes, sha256 } = await inTurns(packSteps(segments), context.clock)
  return packPath(sha256) === object ? bytes : null
}

async function repairObject(
  context: TieringContext,
  quarantine: Quarantine,
  copy: SegmentCopy,
  other: SegmentCopy,
): Promise<void> {
  const { segment, location } = copy
  const disk = present(context.disk, 'a disk copy needs a disk')
  const archive = present(context.archive, 'an object copy is in an archive')
  const bytes = await readVerified(disk, other.segment)
  await (await archive.manifest()).refresh()
  const { store } = archive
  const { object } = location
  const isThere = (await store.head(object, { checksum: false })) !== null
  if (isThere) await quarantine.bytes(object, await store.get(object))
  if (!isNamed(context, copy)) return
  if (!isThere) return archive.putSegment(object, bytes, segment.sha256)
  await store.put(object, bytes, { sha256: segment.sha256 })
  await archive.verify(object, segment.length, segment.sha256)
}

/** A shared file lies with those of the log that wrote it. */
function directoryOf({ object }: Location): string {
  return object.slice(0, object.lastIndexOf('/'))
}
