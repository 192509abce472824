import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'

const SECTOR = 512

/** What some seeds make of the same history. */
function outcomes(
  history: (fileSystem: MemorySyncFileSystem) => void,
  look: (fileSystem: MemorySyncFileSystem) => string,
): Set<string> {
  const seen = new Set<string>()
  for (let seed = 1; seed <= 200; seed++) {
    const fileSystem = new MemorySyncFileSystem({ random: seededRandom(seed) })
    fileSystem.makeDirectory('d')
    history(fileSystem)
    fileSystem.crash()
    seen.add(look(fileSystem))
  }
  return seen
}

function sectors(fileSystem: MemorySyncFileSystem, path: string): string {
  const bytes = fileSystem.bytes(path)
  return Array.from(
    { length: Math.ceil(bytes.length / SECTOR) },
    (_, index) => bytes[index * SECTOR],
  ).join('')
}

function create(fileSystem: MemorySyncFileSystem, path: string, fill: number, count: number): void {
  const file = fileSystem.open(path, 'create')
  file.write(new Uint8Array(SECTOR * count).fill(fill), 0)
  file.sync()
  fileSystem.syncDirectory('d')
}

describe('a crash of the synchronous file system in memory', () => {
  test('keeps what was synced', () => {
    const seen = outcomes(
      (fileSystem) => create(fileSystem, 'd/a', 1, 2),
      (fileSystem) => sectors(fileSystem, 'd/a'),
    )
    expect(seen).toEqual(new Set(['11']))
  })

  test('keeps any subset of unsynced sectors', () => {
    const seen = outcomes(
      (fileSystem) => {
        create(fileSystem, 'd/a', 1, 2)
        fileSystem.open('d/a', 'write').write(new Uint8Array(SECTOR * 2).fill(2), 0)
      },
      (fileSystem) => sectors(fileSystem, 'd/a'),
    )
    expect([...seen].sort()).toEqual(['11', '12', '21', '22'])
  })

  test('keeps any subset of unsynced names', () => {
    const seen = outcomes(
      (fileSystem) => {
        create(fileSystem, 'd/a', 1, 1)
        fileSystem.rename('d/a', 'd/b')
      },
      (fileSystem) => fileSystem.list('d').join(),
    )
    expect([...seen].sort()).toEqual(['', 'a', 'a,b', 'b'])
  })

  test('after a failed sync loses what that one should have saved, though the next sync went through', () => {
    const seen = outcomes(
      (fileSystem) => {
        create(fileSystem, 'd/a', 1, 1)
        const file = fileSystem.open('d/a', 'write')
        file.write(new Uint8Array(SECTOR).fill(2), 0)
        fileSystem.faults = ({ kind }): undefined => {
          if (kind === 'dataSync') throw new StratalogError('file_system_failed', 'EIO')
        }
        expect(() => file.dataSync()).toThrow('EIO')
        fileSystem.faults = (): undefined => undefined
        file.dataSync()
        expect(sectors(fileSystem, 'd/a')).toBe('2')
      },
      (fileSystem) => sectors(fileSystem, 'd/a'),
    )
    expect(seen).toEqual(new Set(['1']))
  })

  test('ends open files; a killed process loses nothing else', () => {
    const fileSystem = new MemorySyncFileSystem()
    fileSystem.makeDirectory('d')
    const file = fileSystem.open('d/a', 'create')
    file.write(Uint8Array.of(1), 0)
    fileSystem.kill()
    expect(() => file.write(Uint8Array.of(1), 0)).toThrow(/EBADF/)
    expect(fileSystem.bytes('d/a')).toEqual(Uint8Array.of(1))
  })
})

test('a write that the kernel cuts short is continued, and one that makes no progress fails', () => {
  const fileSystem = new MemorySyncFileSystem({
    faults: ({ kind }) => (kind === 'write' ? 3 : undefined),
  })
  fileSystem.makeDirectory('d')
  const file = fileSystem.open('d/a', 'create')
  file.write(Uint8Array.of(1, 2, 3, 4, 5, 6, 7), 0)
  expect([...fileSystem.bytes('d/a')]).toEqual([1, 2, 3, 4, 5, 6, 7])
  fileSystem.faults = (): number => 0
  expect(() => file.write(Uint8Array.of(1), 0)).toThrow(
    expect.objectContaining({ code: 'file_system_failed' }),
  )
})
