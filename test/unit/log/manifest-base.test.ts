import { describe, expect, test } from 'vitest'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { MANIFEST_COMMITS_PER_BASE } from '../../../src/format/limits.ts'
import type { ManifestEdit, ManifestState } from '../../../src/format/manifest.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import {
  MemoryManifestFiles,
  logDefinition,
  segmentEntry,
  writer,
} from '../../support/manifests.ts'

const clock = new VirtualClock()

/** Enough commits of one segment each for `bases` bases of a small manifest. */
const COMMITS = 2 * MANIFEST_COMMITS_PER_BASE

function open(files: MemoryManifestFiles, logger = new MemoryLogger()): Promise<ManifestStore> {
  return ManifestStore.open(files, { clock, logger })
}

async function openWriter(files: MemoryManifestFiles, segments = 0): Promise<ManifestStore> {
  const store = await open(files)
  const schema = { id: 0, fields: [] }
  const created: readonly ManifestEdit[] =
    store.number > 0
      ? []
      : [
          { kind: 'log-created', log: logDefinition(1), startOffsets: [0] },
          { kind: 'schema-added', logId: 1, schema },
          ...Array.from({ length: segments }, (_, offset) => added(offset)),
        ]
  await store.claim(writer('w'), 'engine', created)
  return store
}

function added(offset: number): ManifestEdit {
  const segment = segmentEntry(offset, offset + 1, { statistics: [] })
  return { kind: 'segment-added', logId: 1, partition: 0, segment }
}

function count({ logs }: ManifestState): number {
  return logs.get(1)?.partitions[0]?.segments.length ?? 0
}

async function grow(store: ManifestStore, commits: number): Promise<void> {
  for (let index = 0; index < commits; index++) await store.commit((state) => [added(count(state))])
}

function named(files: MemoryManifestFiles, end: string): string[] {
  return [...files.files.keys()].filter((name) => name.endsWith(end)).sort()
}

/** The pages that a base names. */
function pagesOf(files: MemoryManifestFiles, base: string): string[] {
  const lines = Buffer.from(files.files.get(base) ?? [])
    .toString()
    .split('\n')
    .slice(2)
  return lines.flatMap((line) => {
    const sha256 = /^\{"sha256":"([0-9a-f]{64})"/.exec(line)?.[1]
    return sha256 === undefined ? [] : [`pages/${sha256}.page`]
  })
}

function flip(files: MemoryManifestFiles, file: string): void {
  const bytes = Uint8Array.from(files.files.get(file) ?? [])
  bytes[bytes.length - 10] = (bytes[bytes.length - 10] ?? 0) ^ 1
  files.files.set(file, bytes)
}

describe('bases over pages', () => {
  test('give back the state, and the two newest are all that stays', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files, 3_000)
    await grow(store, 8 * COMMITS)
    await store.close()
    const again = await open(files)
    expect([...(again.state.logs.get(1)?.partitions[0]?.segments ?? [])]).toEqual([
      ...(store.state.logs.get(1)?.partitions[0]?.segments ?? []),
    ])
    const bases = named(files, '.base')
    expect(bases).toHaveLength(2)
    const pages = new Set(bases.flatMap((base) => pagesOf(files, base)))
    expect(named(files, '.page')).toEqual([...pages].sort())
    // What lies before the end of the partition is in pages that both name.
    expect(pages.size).toBeLessThan(pagesOf(files, bases[0] ?? '').length + 3)
  })

  test('of an earlier life are removed by the next writer', async () => {
    const files = new MemoryManifestFiles()
    for (let life = 0; life < 5; life++) {
      const store = await openWriter(files)
      await grow(store, COMMITS)
      await store.close()
    }
    const bases = named(files, '.base')
    expect(bases).toHaveLength(2)
    const pages = new Set(bases.flatMap((base) => pagesOf(files, base)))
    expect(named(files, '.page')).toEqual([...pages].sort())
  })

  test('cost a commit the same beside a thousand segments and fifty thousand', async () => {
    const costs: number[] = []
    for (const segments of [1_000, 50_000]) {
      const files = new MemoryManifestFiles()
      const store = await openWriter(files, segments)
      await grow(store, 1_000)
      let [bytes, commitBytes, puts] = [0, 0, 0]
      const put = files.putIfAbsent.bind(files)
      files.putIfAbsent = async (file, body) => {
        bytes += body.length
        if (file.kind === 'commit') commitBytes += body.length
        puts++
        return put(file, body)
      }
      const commits = 2_500
      await grow(store, commits)
      await store.close()
      costs.push(bytes / commits)
      expect(puts / commits).toBeLessThan(1.1)
      expect(bytes / commitBytes).toBeLessThan(2.5)
    }
    const [small = 0, big = 0] = costs
    expect(big / small).toBeLessThan(2)
  })
})

describe('a base that is not whole', () => {
  test.each<[string, (files: MemoryManifestFiles, page: string) => void]>([
    ['is missing', (files, page) => files.files.delete(page)],
    ['is damaged', flip],
  ])('because a page of it %s is passed over for an older one', async (_, damage) => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    await grow(store, 3 * COMMITS)
    await store.close()
    const [older, newest] = named(files, '.base')
    const shared = new Set(pagesOf(files, older ?? ''))
    damage(files, pagesOf(files, newest ?? '').find((page) => !shared.has(page)) ?? '')
    const logger = new MemoryLogger()
    const again = await open(files, logger)
    expect(count(again.state)).toBe(3 * COMMITS)
    expect(logger.entries.map((entry) => entry.fields['file'])).toEqual([newest])
  })

  test('because its pages are damaged is made again by the next writer', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files, 5_000)
    await grow(store, 5 * COMMITS)
    await store.close()
    for (const page of named(files, '.page')) flip(files, page)
    const next = await openWriter(files)
    await grow(next, 20 * COMMITS)
    await next.close()
    const logger = new MemoryLogger()
    expect(count((await open(files, logger)).state)).toBe(5_000 + 25 * COMMITS)
    expect(logger.entries).toEqual([])
  })

  test('because its root could not be written leaves pages that the next one takes', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files, 5_000)
    const put = files.putIfAbsent.bind(files)
    files.putIfAbsent = (file, bytes) =>
      file.kind === 'base' ? Promise.reject(new Error('no')) : put(file, bytes)
    while (named(files, '.page').length === 0) await grow(store, 1)
    await store.close()
    files.putIfAbsent = put
    expect(count((await open(files)).state)).toBe(count(store.state))
    const next = await openWriter(files)
    await grow(next, 20 * COMMITS)
    await next.close()
    expect(count((await open(files)).state)).toBe(count(next.state))
    expect(named(files, '.base')).toHaveLength(2)
  })

  test('because a page of it could not be written is not there', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files, 5_000)
    const put = files.putIfAbsent.bind(files)
    let tries = 0
    files.putIfAbsent = (file, bytes) =>
      file.kind === 'page' && ++tries > 2 ? Promise.reject(new Error('no')) : put(file, bytes)
    while (tries === 0) await grow(store, 1)
    await store.close()
    expect(named(files, '.base')).toEqual([])
    expect(count((await open(files)).state)).toBe(count(store.state))
  })
})

test('a reader whose base is removed while it opens begins again', async () => {
  const files = new MemoryManifestFiles()
  const store = await openWriter(files, 5_000)
  await grow(store, 10 * COMMITS)
  const read = files.read.bind(files)
  let grown: Promise<void> | null = null
  let oldest = Infinity
  const makeTwo = async (): Promise<void> => {
    const before = named(files, '.base')
    while (named(files, '.base').some((base) => before.includes(base))) await grow(store, 1)
  }
  files.read = async (file) => {
    if (file.kind === 'page') await (grown ??= makeTwo())
    if (file.kind === 'commit') oldest = Math.min(oldest, file.number)
    return read(file)
  }
  const logger = new MemoryLogger()
  const reader = await open(files, logger)
  expect(count(reader.state)).toBe(count(store.state))
  expect(oldest).toBeGreaterThan(1)
  expect(logger.entries).toEqual([])
})
