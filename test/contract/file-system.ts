/** What every FileSystem does, as a suite that each implementation runs. */
import { describe, expect, test } from 'vitest'
import type { FileSystem } from '../../src/storage/file-system.ts'
import { expectError } from '../support/expect-error.ts'

/** Made inside the test that uses it; it cleans up by `onTestFinished`. */
export interface FileSystemFixture {
  readonly fileSystem: FileSystem
  /** An empty directory to work in. */
  readonly root: string
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

async function writeFile(fileSystem: FileSystem, path: string, ...parts: string[]): Promise<void> {
  const file = await fileSystem.create(path)
  for (const part of parts) await file.write(bytesOf(part))
  await file.sync()
  await file.close()
}

export function describeFileSystem(name: string, open: () => Promise<FileSystemFixture>): void {
  describe(name, () => {
    test('what is written in parts is read back whole', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await writeFile(fileSystem, `${root}/a`, 'one ', '', 'two ', 'three')
      expect(textOf(await fileSystem.read(`${root}/a`))).toBe('one two three')
      expect(await fileSystem.stat(`${root}/a`)).toEqual({ length: 13, isDirectory: false })
    })

    test('bytes in shared memory are written like any other', async () => {
      const fixture = await open()
      const shared = new Uint8Array(new SharedArrayBuffer(10), 2, 5)
      shared.set(bytesOf('hello'))
      const file = await fixture.fileSystem.create(`${fixture.root}/shared`)
      await file.write(shared)
      await file.close()
      expect(textOf(await fixture.fileSystem.read(`${fixture.root}/shared`))).toBe('hello')
    })

    test('a read gives exactly the range that was asked', async () => {
      const fixture = await open()
      await writeFile(fixture.fileSystem, `${fixture.root}/a`, '0123456789')
      const file = await fixture.fileSystem.open(`${fixture.root}/a`)
      expect(file.length).toBe(10)
      expect(textOf(await file.read(3, 4))).toBe('3456')
      expect(textOf(await file.read(0, 10))).toBe('0123456789')
      expect(await file.read(10, 0)).toHaveLength(0)
      await expectError(file.read(8, 3), 'file_corrupt')
      await file.close()
    })

    test('what is missing is file_not_found, and null to stat', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await expectError(fileSystem.open(`${root}/none`), 'file_not_found')
      await expectError(fileSystem.read(`${root}/none`), 'file_not_found')
      await expectError(fileSystem.list(`${root}/none`), 'file_not_found')
      await expectError(fileSystem.rename(`${root}/none`, `${root}/other`), 'file_not_found')
      await expectError(fileSystem.create(`${root}/none/a`), 'file_not_found')
      await expectError(fileSystem.putIfAbsent(`${root}/none/a`, bytesOf('x')), 'file_not_found')
      expect(await fileSystem.stat(`${root}/none`)).toBeNull()
      await fileSystem.remove(`${root}/none`)
      await fileSystem.removeDirectory(`${root}/none`)
    })

    test('an error names the path and the errno', async () => {
      const fixture = await open()
      const path = `${fixture.root}/none`
      const error = await expectError(fixture.fileSystem.open(path), 'file_not_found')
      expect(error.details).toMatchObject({ path, errno: 'ENOENT' })
    })

    test('create refuses a taken name and leaves the file as it is', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await writeFile(fileSystem, `${root}/a`, 'first')
      await expectError(fileSystem.create(`${root}/a`), 'file_exists')
      expect(textOf(await fileSystem.read(`${root}/a`))).toBe('first')
    })

    test('putIfAbsent makes the whole file, or refuses and leaves no trace', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await fileSystem.putIfAbsent(`${root}/a`, bytesOf('first'))
      await expectError(fileSystem.putIfAbsent(`${root}/a`, bytesOf('second')), 'file_exists')
      expect(textOf(await fileSystem.read(`${root}/a`))).toBe('first')
      expect(await fileSystem.list(root)).toEqual(['a'])
    })

    test('of twenty rivals that put one name, exactly one succeeds', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      const rivals = Array.from({ length: 20 }, (_, rival) =>
        fileSystem.putIfAbsent(`${root}/a`, bytesOf(`rival ${rival}`)).then(
          () => rival,
          () => null,
        ),
      )
      const winners = (await Promise.all(rivals)).filter((rival) => rival !== null)
      expect(winners).toHaveLength(1)
      expect(textOf(await fileSystem.read(`${root}/a`))).toBe(`rival ${winners[0]}`)
      expect(await fileSystem.list(root)).toEqual(['a'])
    })

    test('rename replaces the target and frees the old name', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await writeFile(fileSystem, `${root}/a`, 'new')
      await writeFile(fileSystem, `${root}/b`, 'old')
      await fileSystem.rename(`${root}/a`, `${root}/b`)
      await fileSystem.syncDirectory(root)
      expect(await fileSystem.list(root)).toEqual(['b'])
      expect(textOf(await fileSystem.read(`${root}/b`))).toBe('new')
    })

    test('makeDirectory makes parents, and again is no error', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await fileSystem.makeDirectory(`${root}/x/y/z`)
      await fileSystem.makeDirectory(`${root}/x/y/z`)
      await fileSystem.makeDirectory(`${root}/x/y/w`)
      expect(await fileSystem.list(`${root}/x/y`)).toEqual(['w', 'z'])
      expect((await fileSystem.stat(`${root}/x/y`))?.isDirectory).toBe(true)
    })

    test('makeDirectory refuses where a file has the name', async () => {
      const fixture = await open()
      await writeFile(fixture.fileSystem, `${fixture.root}/a`, 'x')
      await expectError(fixture.fileSystem.makeDirectory(`${fixture.root}/a`), 'file_exists')
    })

    test('removeDirectory removes all below', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await fileSystem.makeDirectory(`${root}/x/y`)
      await writeFile(fileSystem, `${root}/x/y/a`, 'x')
      await fileSystem.removeDirectory(`${root}/x`)
      expect(await fileSystem.list(root)).toEqual([])
    })

    test('remove removes a file and list no longer names it', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      await writeFile(fileSystem, `${root}/a`, 'x')
      await fileSystem.remove(`${root}/a`)
      expect(await fileSystem.list(root)).toEqual([])
      expect(await fileSystem.stat(`${root}/a`)).toBeNull()
    })

    test('list sorts by bytes', async () => {
      const fixture = await open()
      const { fileSystem, root } = fixture
      const names = ['a', 'B', 'a-b', 'a.b', '10', '9', '\u{1F600}', '\u{FF5E}', '_']
      for (const name of names) await writeFile(fileSystem, `${root}/${name}`, name)
      const sorted = ['10', '9', 'B', '_', 'a', 'a-b', 'a.b', '\u{FF5E}', '\u{1F600}']
      expect(await fileSystem.list(root)).toEqual(sorted)
    })

    test('a directory cannot be opened as a file', async () => {
      const fixture = await open()
      await fixture.fileSystem.makeDirectory(`${fixture.root}/x`)
      const error = await expectError(
        fixture.fileSystem.open(`${fixture.root}/x`),
        'file_system_failed',
      )
      expect(error.details['errno']).toBe('EISDIR')
    })
  })
}
