/** The simulated ports are ports: without faults they do what the real ones do, and with a crash what they say. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { describeFileSystem } from '../contract/file-system.ts'
import { describeObjectStore } from '../contract/object-store.ts'
import { Dice } from './dice.ts'
import { DiskImage } from './disk-image.ts'
import { NO_FAULTS } from './faults.ts'
import { SimulatedFileSystem } from './file-system.ts'
import { SimulatedObjectStore } from './object-store.ts'
import { ProcessCrash, type SimulatedProcess } from './process.ts'
import { SimulatedSyncFileSystem } from './sync-file-system.ts'
import { World } from './world.ts'

/** A world whose events happen by themselves until the test is over. */
function runningWorld(): World {
  const world = new World(new Dice(1), NO_FAULTS, (error) => {
    throw error
  })
  const over = Promise.withResolvers<void>()
  const tick = (): void => {
    world.scheduler.after(1, tick)
  }
  tick()
  const running = world.scheduler.runUntil(over.promise)
  onTestFinished(async () => {
    over.resolve()
    await running
  })
  return world
}

describeFileSystem('SimulatedFileSystem', async () => {
  const world = runningWorld()
  const fileSystem = new SimulatedFileSystem(world, world.startProcess(null), '/root')
  await fileSystem.makeDirectory('/root')
  return { fileSystem, root: '/root' }
})

describeObjectStore(
  'SimulatedObjectStore',
  async () => {
    const world = runningWorld()
    const store = (): SimulatedObjectStore =>
      new SimulatedObjectStore('s3://bucket', world, world.startProcess(null))
    return { store: store(), other: store() }
  },
  { manyObjects: 200 },
)

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('a power cut', () => {
  /** How often something is there after a cut, of so many worlds. */
  function shareAfterCut(
    prepare: (disk: DiskImage) => void,
    isThere: (disk: DiskImage) => boolean,
  ): number {
    let there = 0
    for (let seed = 1; seed <= 200; seed++) {
      const disk = new DiskImage()
      disk.makeDirectory('/d')
      disk.directory('/').sync()
      prepare(disk)
      disk.cutPower(new Dice(seed))
      if (isThere(disk)) there++
    }
    return there / 200
  }
  const has = (path: string) => (disk: DiskImage) => disk.find(path) !== null
  const reads = (path: string, text: string) => (disk: DiskImage) => {
    const node = disk.find(path)
    if (node?.kind !== 'file') return false
    return Buffer.from(node.slice(path, 0, node.length)).toString() === text
  }

  test('keeps what was synced, and half of what was not', () => {
    const named = (disk: DiskImage): void => disk.create('/d/a').write(bytesOf('text'), 0)
    expect(shareAfterCut(named, has('/d/a'))).toBeCloseTo(0.5, 0)
    const durable = (disk: DiskImage): void => {
      named(disk)
      disk.file('/d/a').sync()
      disk.directory('/d').sync()
    }
    expect(shareAfterCut(durable, reads('/d/a', 'text'))).toBe(1)
    const unsynced = (disk: DiskImage): void => {
      durable(disk)
      disk.file('/d/a').write(bytesOf('TEXT'), 0)
    }
    expect(shareAfterCut(unsynced, reads('/d/a', 'TEXT'))).toBeCloseTo(0.5, 1)
  })

  test('loses what a failed sync of a file should have saved, whatever was synced after', () => {
    const failed = (disk: DiskImage): void => {
      const file = disk.create('/d/a')
      disk.directory('/d').sync()
      file.write(bytesOf('lost'), 0)
      file.failSync()
      file.sync()
    }
    const shown = (disk: DiskImage): boolean => reads('/d/a', '\0\0\0\0')(disk)
    expect(shareAfterCut(failed, shown)).toBe(1)
  })

  test('leaves of a rename both names, one or none', () => {
    const renamed = (disk: DiskImage): void => {
      disk.create('/d/a').sync()
      disk.directory('/d').sync()
      disk.rename('/d/a', '/d/b')
    }
    for (const [a, b] of [
      [true, true],
      [true, false],
      [false, true],
      [false, false],
    ] as const) {
      const share = shareAfterCut(
        renamed,
        (disk) => has('/d/a')(disk) === a && has('/d/b')(disk) === b,
      )
      expect(share).toBeGreaterThan(0.1)
    }
  })
})

describe('a process', () => {
  const wal = (
    world: World,
    process: SimulatedProcess,
    failed = (): void => {},
  ): SimulatedSyncFileSystem => new SimulatedSyncFileSystem(world, process, '/', failed)

  test('dies in its planned call, and nothing of it reaches the disk after', async () => {
    const world = runningWorld()
    const process = world.startProcess({ death: 'kill', call: 3, step: null })
    const files = wal(world, process)
    const file = files.open('/a', 'create')
    file.write(bytesOf('one'), 0)
    expect(() => file.dataSync()).toThrow(ProcessCrash)
    expect(process.isAlive).toBe(false)
    expect(() => file.write(bytesOf('two'), 0)).toThrow(ProcessCrash)
    const late = new SimulatedFileSystem(world, process, '/').create('/b')
    const other = new SimulatedFileSystem(world, world.startProcess(null), '/')
    expect(await Promise.race([late.then(() => 'late'), other.stat('/b')])).toBeNull()
    expect(Buffer.from(await other.read('/a')).toString()).toBe('one')
  })

  test('writes both ports to one disk', async () => {
    const world = runningWorld()
    const process = world.startProcess(null)
    wal(world, process).open('/a', 'create').write(bytesOf('shared'), 0)
    const bytes = await new SimulatedFileSystem(world, process, '/').read('/a')
    expect(Buffer.from(bytes).toString()).toBe('shared')
  })
})
