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
import { present } from '../base/assert.ts'
import { isStratalogError } from '../base/errors.ts'
import type { Location } from '../format/manifest.ts'
import type { TieringContext } from './context.ts'
import { writeFile } from './packs.ts'
import { fetchVerified } from './recall.ts'
import { type SegmentCopy, isNamed, otherCopy } from './scrub-copies.ts'
import { ownsObject } from './scrub-look.ts'
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
    if (copy.tier === 'disk') await repairFile(context, quarantine, copy, other)
    else if (ownsObject(copy)) await repairObject(context, quarantine, copy, other)
    else return 'Other segments lie in the same object.'
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
