import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { expectError } from '../../support/expect-error.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

async function fresh(seed = 1): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem({ random: seededRandom(seed) })
  await fileSystem.makeDirectory('/d')
  return fileSystem
}

async function write(
  fileSystem: MemoryFileSystem,
  path: string,
  text: string,
  sync: boolean,
): Promise<void> {
  const file = await fileSystem.create(path)
  await file.write(bytesOf(text))
  if (sync) await file.sync()
  await file.close()
}

describe('a crash that keeps only what was promised', () => {
  test('loses a name whose directory was not synced', async () => {
    const fileSystem = await fresh()
    await write(fileSystem, '/d/a', 'x', true)
    fileSystem.crash('promised')
    expect(await fileSystem.list('/d')).toEqual([])
  })

  test('keeps a synced name and loses its unsynced bytes', async () => {
    const fileSystem = await fresh()
    const file = await fileSystem.create('/d/a')
    await file.write(bytesOf('synced'))
    await file.sync()
    await file.write(bytesOf(' and not'))
    await fileSystem.syncDirectory('/d')
    fileSystem.crash('promised')
    expect(textOf(await fileSystem.read('/d/a'))).toBe('synced')
  })

  test('keeps what putIfAbsent and makeDirectory made', async () => {
    const fileSystem = await fresh()
    await fileSystem.makeDirectory('/d/e/f')
    await fileSystem.putIfAbsent('/d/e/f/a', bytesOf('whole'))
    fileSystem.crash('promised')
    expect(textOf(await fileSystem.read('/d/e/f/a'))).toBe('whole')
  })

  test('undoes a rename and a remove that were not synced', async () => {
    const fileSystem = await fresh()
    await fileSystem.putIfAbsent('/d/a', bytesOf('a'))
    await fileSystem.putIfAbsent('/d/b', bytesOf('b'))
    await fileSystem.putIfAbsent('/d/c', bytesOf('c'))
    await fileSystem.rename('/d/a', '/d/b')
    await fileSystem.remove('/d/c')
    fileSystem.crash('promised')
    expect(textOf(await fileSystem.read('/d/b'))).toBe('b')
    expect(await fileSystem.list('/d')).toEqual(['a', 'b', 'c'])
  })

  test('ends every open file', async () => {
    const fileSystem = await fresh()
    const writable = await fileSystem.create('/d/a')
    await fileSystem.syncDirectory('/d')
    const readable = await fileSystem.open('/d/a')
    fileSystem.crash('promised')
    await expectError(writable.write(bytesOf('x')), 'file_system_failed')
    await expectError(writable.sync(), 'file_system_failed')
    await expectError(readable.read(0, 0), 'file_system_failed')
  })
})

describe('a crash that chooses', () => {
  test('never touches what was synced', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(3_000), fc.nat(3_000), async (seed, synced, unsynced) => {
        const fileSystem = await fresh(seed)
        const file = await fileSystem.create('/d/a')
        await file.write(new Uint8Array(synced).fill(1))
        await file.sync()
        await fileSystem.syncDirectory('/d')
        await file.write(new Uint8Array(unsynced).fill(2))
        fileSystem.crash()
        const bytes = await fileSystem.read('/d/a')
        expect(bytes.length).toBeGreaterThanOrEqual(synced)
        expect(bytes.length).toBeLessThanOrEqual(synced + unsynced)
        expect(bytes.subarray(0, synced).every((byte) => byte === 1)).toBe(true)
        expect(bytes.subarray(synced).every((byte) => byte === 0 || byte === 2)).toBe(true)
      }),
    )
  })

  test('leaves of an unsynced rename, over seeds, both names, one and none', async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < 64; seed++) {
      const fileSystem = await fresh(seed)
      await fileSystem.putIfAbsent('/d/a', bytesOf('x'))
      await fileSystem.rename('/d/a', '/d/b')
      fileSystem.crash()
      outcomes.add((await fileSystem.list('/d')).join(' '))
    }
    expect([...outcomes].sort()).toEqual(['', 'a', 'a b', 'b'])
  })

  test('is repeated by its seed', async () => {
    const run = async (): Promise<readonly string[]> => {
      const fileSystem = await fresh(99)
      for (let i = 0; i < 50; i++) await write(fileSystem, `/d/${i}`, 'x', false)
      fileSystem.crash()
      return fileSystem.list('/d')
    }
    const first = await run()
    expect(first.length).toBeGreaterThan(5)
    expect(first.length).toBeLessThan(45)
    expect(await run()).toEqual(first)
  })
})
