/** What every ObjectStore does, as a suite that each implementation runs. */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { toStratalogError } from '../../src/base/errors.ts'
import type { ListOptions, ObjectStore } from '../../src/storage/object-store.ts'
import { expectError } from '../support/expect-error.ts'

/** Made inside the test that uses it; it cleans up by `onTestFinished`. */
export interface ObjectStoreFixture {
  /** Empty at first. */
  readonly store: ObjectStore
  /** Another client of the same place. */
  readonly other: ObjectStore
}

export interface ObjectStoreSuiteOptions {
  /** How many objects the test of long listings puts. */
  readonly manyObjects: number
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Bytes that differ everywhere, so that a shifted or repeated piece shows. */
function patternBytes(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2_654_435_761)
  return new Uint8Array(words.buffer, 0, length)
}

/** Every key of a listing, in the order it gives them. */
export async function keysOf(
  store: ObjectStore,
  prefix: string,
  options: ListOptions = {},
): Promise<string[]> {
  const keys: string[] = []
  for await (const object of store.list(prefix, options)) keys.push(object.key)
  return keys
}

const BAD_KEYS = [
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  '../a',
  'a/../b',
  'a/.',
  'a b',
  'a~0.tmp',
  'ä',
  'a\0',
]

/**
 * Keys whose order differs between whole keys and names in folders: '-' and '.' sort before '/',
 * digits after it.
 */
const TREE = [
  'a-b',
  'a.b',
  'a/b',
  'a/b.c/d',
  'a/b-c',
  'a/c/1',
  'a/c/10',
  'a/c/9',
  'a0',
  'b',
  'b=1/x',
  'c/_',
  'c/a/A',
]

export function describeObjectStore(
  name: string,
  open: () => Promise<ObjectStoreFixture>,
  suite: ObjectStoreSuiteOptions,
): void {
  describe(name, () => {
    describePutAndGet(open)
    describeConditionalPut(open)
    describeList(open, suite)
    describeRefusals(open)
  })
}

function describePutAndGet(open: () => Promise<ObjectStoreFixture>): void {
  test.each([0, 1, 1_000, 300_000, 3_000_000])(
    'an object of %i bytes comes back as it was put',
    async (length) => {
      const fixture = await open()
      const bytes = patternBytes(length)
      await fixture.store.put('some/key', bytes)
      expect(Buffer.compare(await fixture.other.get('some/key'), bytes)).toBe(0)
      expect(await fixture.other.head('some/key')).toMatchObject({
        length,
        sha256: sha256Of(bytes),
      })
    },
  )

  test.each([10, 500_000])(
    '%i bytes in shared memory are stored like any other',
    async (length) => {
      const fixture = await open()
      const shared = new Uint8Array(new SharedArrayBuffer(length + 7), 3, length)
      shared.set(patternBytes(length))
      await fixture.store.put('shared', shared)
      expect(Buffer.compare(await fixture.store.get('shared'), patternBytes(length))).toBe(0)
    },
  )

  test('what is put stays when the buffer changes afterwards', async () => {
    const fixture = await open()
    const bytes = bytesOf('before')
    await fixture.store.put('a', bytes)
    bytes.set(bytesOf('after!'))
    expect(textOf(await fixture.store.get('a'))).toBe('before')
  })

  test('a put of the same bytes again is no error', async () => {
    const fixture = await open()
    await fixture.store.put('a', bytesOf('same'))
    await fixture.store.put('a', bytesOf('same'), { sha256: sha256Of(bytesOf('same')) })
    expect(textOf(await fixture.store.get('a'))).toBe('same')
  })

  test('a put that asks for it is answered with the checksum of what is there', async () => {
    const { store } = await open()
    const bytes = patternBytes(1_000)
    for (const ifAbsent of [true, false]) {
      const { sha256 } = await store.put(`a/${ifAbsent}`, bytes, { ifAbsent, checksum: true })
      expect(sha256).toBe(sha256Of(bytes))
    }
  })

  test('a range gives exactly its bytes', async () => {
    const fixture = await open()
    await fixture.store.put('a', bytesOf('0123456789'))
    const range = async (start: number, end: number): Promise<string> =>
      textOf(await fixture.store.get('a', { range: { start, end } }))
    expect(await range(0, 10)).toBe('0123456789')
    expect(await range(0, 1)).toBe('0')
    expect(await range(3, 7)).toBe('3456')
    expect(await range(9, 10)).toBe('9')
    expect(await range(4, 4)).toBe('')
  })

  test('a range that the object does not have is object_corrupt', async () => {
    const fixture = await open()
    await fixture.store.put('a', bytesOf('0123456789'))
    await expectError(fixture.store.get('a', { range: { start: 5, end: 11 } }), 'object_corrupt')
    await expectError(fixture.store.get('a', { range: { start: 20, end: 30 } }), 'object_corrupt')
    await expectError(fixture.store.get('a', { range: { start: 11, end: 11 } }), 'object_corrupt')
  })

  test('a missing object is object_not_found, null to head, and nothing to remove', async () => {
    const fixture = await open()
    await expectError(fixture.store.get('none'), 'object_not_found')
    await expectError(
      fixture.store.get('some/none', { range: { start: 0, end: 1 } }),
      'object_not_found',
    )
    expect(await fixture.store.head('some/none')).toBeNull()
    await fixture.store.remove('some/none')
  })

  test('a folder of keys is not an object', async () => {
    const fixture = await open()
    await fixture.store.put('folder/a', bytesOf('x'))
    await expectError(fixture.store.get('folder'), 'object_not_found')
    expect(await fixture.store.head('folder')).toBeNull()
  })

  test('a removed object is gone for every client, and its key is free', async () => {
    const fixture = await open()
    await fixture.store.put('some/a', bytesOf('first'), { ifAbsent: true })
    await fixture.store.remove('some/a')
    await expectError(fixture.other.get('some/a'), 'object_not_found')
    expect(await keysOf(fixture.other, '')).toEqual([])
    await fixture.other.put('some/a', bytesOf('second'), { ifAbsent: true })
    expect(textOf(await fixture.store.get('some/a'))).toBe('second')
  })
}

function describeConditionalPut(open: () => Promise<ObjectStoreFixture>): void {
  test('a conditional put of a taken key is object_exists and changes nothing', async () => {
    const fixture = await open()
    await fixture.store.put('some/a', bytesOf('first'), { ifAbsent: true })
    await expectError(
      fixture.other.put('some/a', bytesOf('second'), { ifAbsent: true }),
      'object_exists',
    )
    expect(textOf(await fixture.store.get('some/a'))).toBe('first')
  })

  test('a conditional put of equal bytes is still object_exists', async () => {
    const fixture = await open()
    await fixture.store.put('a', bytesOf('same'), { ifAbsent: true })
    await expectError(fixture.other.put('a', bytesOf('same'), { ifAbsent: true }), 'object_exists')
  })

  test('of twenty rivals from two clients exactly one succeeds, and its bytes are what is there', async () => {
    const fixture = await open()
    const rivals = Array.from({ length: 20 }, (_, rival) => {
      const store = rival % 2 === 0 ? fixture.store : fixture.other
      return store.put('some/new/a', bytesOf(`rival ${rival}`), { ifAbsent: true }).then(
        () => ({ rival, code: 'done' }),
        (error: unknown) => ({ rival, code: toStratalogError(error).code }),
      )
    })
    const outcomes = await Promise.all(rivals)
    const winners = outcomes.filter((outcome) => outcome.code === 'done')
    expect(winners).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome.code === 'object_exists')).toHaveLength(19)
    expect(textOf(await fixture.store.get('some/new/a'))).toBe(`rival ${winners[0]?.rival}`)
  })

  test('a probe for writing passes and leaves nothing behind', async () => {
    const fixture = await open()
    await fixture.store.probe({ write: true })
    await fixture.store.probe({ write: false })
    expect(await keysOf(fixture.store, '')).toEqual([])
  })
}

function describeList(
  open: () => Promise<ObjectStoreFixture>,
  suite: ObjectStoreSuiteOptions,
): void {
  test('a listing of nothing is empty', async () => {
    const fixture = await open()
    expect(await keysOf(fixture.store, '')).toEqual([])
    expect(await keysOf(fixture.store, 'some/prefix')).toEqual([])
  })

  test('a listing gives every key of a prefix after a key, in byte order, with its length', async () => {
    const fixture = await open()
    const sorted = [...TREE].sort()
    for (const [index, key] of TREE.entries()) await fixture.store.put(key, patternBytes(index))
    const listed: [string, number][] = []
    for await (const { key, length } of fixture.other.list('')) listed.push([key, length])
    expect(listed).toEqual(sorted.map((key) => [key, TREE.indexOf(key)]))
    for (const prefix of ['', 'a', 'a/', 'a/b', 'a/c/', 'a/c/1', 'b=1/x', 'c/a/A/', 'z']) {
      for (const after of [undefined, 'a', 'a/b', 'a/c', 'a/c/1', 'a/zzz', 'c/_', '0', 'zz']) {
        const expected = sorted.filter(
          (key) => key.startsWith(prefix) && (after === undefined || key > after),
        )
        const keys = await keysOf(fixture.store, prefix, after === undefined ? {} : { after })
        expect(keys, `prefix '${prefix}' after '${after}'`).toEqual(expected)
      }
    }
  })

  test('a listing longer than a page is complete and may be left early', async () => {
    const fixture = await open()
    const keys = Array.from(
      { length: suite.manyObjects },
      (_, i) => `many/${String(i).padStart(6, '0')}`,
    )
    for (let i = 0; i < keys.length; i += 32) {
      await Promise.all(keys.slice(i, i + 32).map((key) => fixture.store.put(key, bytesOf(key))))
    }
    expect(await keysOf(fixture.store, 'many/')).toEqual(keys)
    expect(await keysOf(fixture.store, 'many/', { after: keys.at(-3) ?? '' })).toEqual(
      keys.slice(-2),
    )
    for await (const object of fixture.store.list('many/')) {
      expect(object.key).toBe(keys[0])
      break
    }
  })
}

function describeRefusals(open: () => Promise<ObjectStoreFixture>): void {
  test('what is no key is refused before anything happens', async () => {
    const fixture = await open()
    for (const key of BAD_KEYS) {
      await expectError(fixture.store.put(key, bytesOf('x')), 'argument_invalid')
      await expectError(fixture.store.get(key), 'argument_invalid')
      await expectError(fixture.store.head(key), 'argument_invalid')
      await expectError(fixture.store.remove(key), 'argument_invalid')
    }
    expect(await keysOf(fixture.store, '')).toEqual([])
  })

  test('a signal that has fired is answered with aborted, and nothing is put', async () => {
    const fixture = await open()
    const signal = AbortSignal.abort(new Error('enough'))
    await expectError(fixture.store.put('a', bytesOf('x'), { signal }), 'aborted')
    await expectError(fixture.store.get('a', { signal }), 'aborted')
    await expectError(fixture.store.head('a', { signal }), 'aborted')
    expect(await fixture.store.head('a')).toBeNull()
  })
}
