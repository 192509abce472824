/**
 * A copy of a segment that rots, or that somebody removes, while no engine runs; and the scrub that has to mend it once
 * one does. Of a segment that has two copies one is damaged, so nothing may be lost.
 */
import { silentLogger } from '../../src/base/logger.ts'
import { sha256Hex } from '../../src/format/checksum.ts'
import type { SegmentEntry } from '../../src/format/manifest.ts'
import { sameLocation } from '../../src/format/segment-entry.ts'
import { isPackPath } from '../../src/format/paths.ts'
import { loadManifest } from '../../src/log/manifest-chain.ts'
import { manifestFilesInDirectory, manifestFilesInStore } from '../../src/log/manifest-files.ts'
import type { Dice } from './dice.ts'
import { parentOf } from './disk-image.ts'
import type { Life } from './life.ts'
import { Violation } from './violation.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from './ports.ts'
import type { Setting } from './setting.ts'
import type { World } from './world.ts'

export interface Damage {
  readonly tier: 'disk' | 'object'
  readonly segment: SegmentEntry
  /** The file, or the key of the object. */
  readonly name: string
}

/** Damages one copy; null where no segment has two. Nothing else happens meanwhile. */
export async function damageCopy(
  world: World,
  setting: Setting,
  dice: Dice,
): Promise<Damage | null> {
  const segments = await twiceStored(world, setting)
  if (segments.length === 0) return null
  const segment = dice.pick(segments)
  const tier = dice.pick(['disk', 'object'] as const)
  const { object: name = '', position: start = 0, length = 0 } = segment[tier] ?? {}
  const isOnDisk = tier === 'disk' || setting.archive?.startsWith('file:') === true
  // Of a pack that is gone other segments may have no copy.
  const isGone = dice.chance(0.4) && !isPackPath(name)
  if (isOnDisk) {
    const path = tier === 'disk' ? `${DATA_DIR}/${name}` : `/archive/${name}`
    if (world.disk.find(path) === null) return null
    if (isGone) {
      world.disk.remove(path)
      world.disk.directory(parentOf(path)).sync()
    } else {
      const file = world.disk.file(path)
      const position = start + dice.int(0, length - 1)
      file.write(flipped(file.slice(path, position, 1)), position)
      file.sync()
    }
  } else {
    const object = world.bucket.get(name)
    if (object === undefined) return null
    const { bytes } = object
    const end = start + length
    // A pack that is cut short loses what lies behind, too.
    const part =
      dice.chance(0.5) && !isPackPath(name)
        ? bytes.slice(0, start + dice.int(0, length - 1))
        : Buffer.concat([bytes.slice(0, start), flipped(bytes.slice(start, end)), bytes.slice(end)])
    if (isGone) world.bucket.delete(name)
    else world.bucket.set(name, { ...object, bytes: part, sha256: sha256Hex(part) })
  }
  world.trace.add(`a copy is damaged: ${tier} ${name}${isGone ? ' is gone' : ''}`)
  return { tier, segment, name }
}

/** Scrubs, with nothing going wrong but crashes. Whether the copy is mended; the process may have died before. */
export async function mend(life: Life, setting: Setting, damage: Damage): Promise<boolean> {
  const { world, process, checks, db } = life
  const { tier, segment, name } = damage
  const wasPaused = world.faults.isPaused
  world.faults.isPaused = true
  try {
    const report = await checks.patiently(process, 'a scrub', db.tier.scrub())
    if (report === 'dead') return false
    world.trace.add(`a scrub of ${report.files} copies mends ${report.repaired.length}`)
    const [problem] = report.problems
    if (problem !== undefined)
      throw new Violation('I7', `a scrub leaves ${JSON.stringify(problem)}, of ${tier} ${name}`)
    const bytes = bytesOf(world, setting, damage)
    const { position = 0, length = 0 } = segment[tier] ?? {}
    const own = isPackPath(name) ? bytes?.slice(position, position + length) : bytes
    if (own !== undefined && own !== null && sha256Hex(own) === segment.sha256) return true
    // A move may have taken the copy away, as a whole, before the scrub or after it; a pack stays for its others.
    const named = await twiceStored(world, setting)
    const isSame = (other: SegmentEntry): boolean =>
      other.sha256 === segment.sha256 && other[tier]?.object === name
    if (!named.some(isSame)) return true
    throw new Violation('I7', `a scrub does not see that ${tier} ${name} is damaged`)
  } catch (error) {
    checks.explain(error, 'a scrub')
    return false
  } finally {
    world.faults.isPaused = wasPaused
  }
}

function bytesOf(world: World, { archive }: Setting, { tier, name }: Damage): Uint8Array | null {
  if (tier === 'object' && archive?.startsWith('s3:') === true)
    return world.bucket.get(name)?.bytes ?? null
  const path = tier === 'disk' ? `${DATA_DIR}/${name}` : `/archive/${name}`
  if (world.disk.find(path) === null) return null
  const file = world.disk.file(path)
  return file.slice(path, 0, file.length)
}

/** Segments that both manifests name the same copies of, as they are stored. */
async function twiceStored(
  world: World,
  { archive, shape }: Setting,
): Promise<readonly SegmentEntry[]> {
  if (archive === null) return []
  const reader = world.startProcess(null)
  const wasPaused = world.faults.isPaused
  world.faults.isPaused = true
  try {
    const { clock, random, logger, metrics, storage } = simulatedPorts(
      world,
      reader,
      shape,
      NOT_WATCHED,
    )
    if (storage === null || world.disk.find(`${DATA_DIR}/manifest`) === null) return []
    const store = await storage.openObjectStore(archive, { clock, random, logger, metrics })
    const files = manifestFilesInDirectory(storage.fileSystem, DATA_DIR)
    const local = (await loadManifest(files, silentLogger)).position.state
    const remote = (await loadManifest(manifestFilesInStore(store), silentLogger)).position.state
    return [...local.logs].flatMap(([logId, { partitions }]) =>
      partitions.flatMap(({ segments }, partition) => {
        const archived = remote.logs.get(logId)?.partitions[partition]?.segments
        // What the archive has moved out of a pack, and the directory has not heard of, it looks at elsewhere.
        return [...segments].filter(({ baseOffset, sha256, disk, object }) => {
          const there = archived?.startingAt(baseOffset)
          if (disk === null || object === null || there?.sha256 !== sha256) return false
          return there.object !== null && sameLocation(there.object, object)
        })
      }),
    )
  } finally {
    world.faults.isPaused = wasPaused
    reader.die('kill')
  }
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes)
  const middle = copy.length >> 1
  copy[middle] = (copy[middle] ?? 0) ^ 16
  return copy
}
