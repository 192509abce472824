/** What the contract suite cannot see from outside: which syncs are made, and what short counts do. */
import { readlinkSync } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { NodeFileSystem } from '../../../src/storage/node-file-system.ts'
import { expectError } from '../../support/expect-error.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const fileSystem = new NodeFileSystem()
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const handlePrototype = await (async (): Promise<FileHandle> => {
  const handle = await open('/dev/null', 'r')
  await handle.close()
  return Object.getPrototypeOf(handle) as FileHandle
})()

afterEach(() => {
  vi.restoreAllMocks()
})

/** Paths below `root` in the order they were synced; '' is `root` itself. */
function recordSyncs(root: string): string[] {
  const synced: string[] = []
  const sync: (this: FileHandle) => Promise<void> = Reflect.get(handlePrototype, 'sync')
  vi.spyOn(handlePrototype, 'sync').mockImplementation(function (this: FileHandle) {
    const path = readlinkSync(`/proc/self/fd/${this.fd}`)
    synced.push(path.startsWith(root) ? path.slice(root.length) : path)
    return sync.call(this)
  })
  return synced
}

test.each([true, false])(
  'putIfAbsent syncs the content, then the name (hard links: %s)',
  async (hardLinks) => {
    const root = await temporaryDirectory()
    const synced = recordSyncs(root)
    await new NodeFileSystem({ hardLinks }).putIfAbsent(`${root}/a`, bytesOf('x'))
    expect(synced).toEqual(['/a~0.tmp', ''])
  },
)

test('makeDirectory syncs each parent that gained a name, from the top', async () => {
  const root = await temporaryDirectory()
  await fileSystem.makeDirectory(`${root}/x`)
  const synced = recordSyncs(root)
  await fileSystem.makeDirectory(`${root}/x/y/z`)
  expect(synced).toEqual(['', '/x', '/x/y'])
})

test('makeDirectory of one that is there syncs its name, which a crashed maker may not have done', async () => {
  const root = await temporaryDirectory()
  await fileSystem.makeDirectory(`${root}/x`)
  const synced = recordSyncs(root)
  await fileSystem.makeDirectory(`${root}/x`)
  expect(synced).toEqual([''])
})

test('a write that the kernel cuts short is continued', async () => {
  const root = await temporaryDirectory()
  cutWrites(3)
  const file = await fileSystem.create(`${root}/a`)
  await file.write(bytesOf('0123456789'))
  await file.write(bytesOf('abcdef'))
  await file.close()
  expect(textOf(await fileSystem.read(`${root}/a`))).toBe('0123456789abcdef')
})

test('a write of which the kernel takes nothing fails', async () => {
  const root = await temporaryDirectory()
  const file = await fileSystem.create(`${root}/a`)
  cutWrites(0)
  await expectError(file.write(bytesOf('x')), 'file_system_failed')
  await file.close()
})

test('a put that fails leaves no unfinished file', async () => {
  const root = await temporaryDirectory()
  const error = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  vi.spyOn(handlePrototype, 'write').mockRejectedValue(error)
  await expectError(fileSystem.putIfAbsent(`${root}/a`, bytesOf('x')), 'disk_full')
  expect(await fileSystem.list(root)).toEqual([])
})

test('a sync that fails fails the put, and is not tried again', async () => {
  const root = await temporaryDirectory()
  const sync = vi
    .spyOn(handlePrototype, 'sync')
    .mockRejectedValue(Object.assign(new Error('input/output error'), { code: 'EIO' }))
  const error = await expectError(
    fileSystem.putIfAbsent(`${root}/a`, bytesOf('x')),
    'file_system_failed',
  )
  expect(error.details['errno']).toBe('EIO')
  expect(sync).toHaveBeenCalledTimes(1)
  expect(await fileSystem.stat(`${root}/a`)).toBeNull()
})

test('files are for their owner only, and so are directories', async () => {
  const root = await temporaryDirectory()
  await fileSystem.makeDirectory(`${root}/x/y`)
  await fileSystem.putIfAbsent(`${root}/x/a`, bytesOf('x'))
  const file = await fileSystem.create(`${root}/x/b`)
  await file.close()
  const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777
  expect(await modeOf(`${root}/x`)).toBe(0o700)
  expect(await modeOf(`${root}/x/y`)).toBe(0o700)
  expect(await modeOf(`${root}/x/a`)).toBe(0o600)
  expect(await modeOf(`${root}/x/b`)).toBe(0o600)
})

test('without hard links a claim that a crash left stops the put and is named', async () => {
  const root = await temporaryDirectory()
  const claim = await fileSystem.create(`${root}/a~claim~0.tmp`)
  await claim.close()
  const linkless = new NodeFileSystem({ hardLinks: false })
  const error = await expectError(
    linkless.putIfAbsent(`${root}/a`, bytesOf('x')),
    'file_system_failed',
  )
  expect(error.message).toContain(`remove ${root}/a~claim~0.tmp`)
  await fileSystem.remove(`${root}/a~claim~0.tmp`)
  await linkless.putIfAbsent(`${root}/a`, bytesOf('x'))
})

/** Every write from here on takes at most `length` bytes. */
function cutWrites(length: number): void {
  const write = Reflect.get(handlePrototype, 'write') as (
    this: FileHandle,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ) => Promise<{ bytesWritten: number; buffer: Uint8Array }>
  vi.spyOn(handlePrototype, 'write').mockImplementation(function (
    this: FileHandle,
    ...[bytes, offset, wanted]: unknown[]
  ) {
    return write.call(
      this,
      bytes as Uint8Array,
      offset as number,
      Math.min(wanted as number, length),
    )
  } as FileHandle['write'])
}
