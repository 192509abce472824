import { describe, expect, test } from 'vitest'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { MANIFEST_COMMITS_PER_BASE } from '../../../src/format/limits.ts'
import type { ManifestEdit, ManifestState } from '../../../src/format/manifest.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { MemoryManifestFiles, logDefinition, writer } from '../../support/manifests.ts'

const clock = new VirtualClock()

function open(files: MemoryManifestFiles, logger = new MemoryLogger()): Promise<ManifestStore> {
  return ManifestStore.open(files, { clock, logger })
}

async function openWriter(files: MemoryManifestFiles, id = 'w'): Promise<ManifestStore> {
  const store = await open(files)
  await store.claim(writer(id), 'engine')
  return store
}

function checkpoint(walLsn: number): readonly ManifestEdit[] {
  return [{ kind: 'checkpoint', walLsn }]
}

async function commitMany(store: ManifestStore, count: number): Promise<void> {
  for (let index = 0; index < count; index++) await store.commit(checkpoint(store.state.walLsn + 1))
}

function name(number: number, kind: 'edit' | 'base' = 'edit'): string {
  return `manifest/${String(number).padStart(12, '0')}.${kind}`
}

function flip(files: MemoryManifestFiles, file: string): void {
  const bytes = Uint8Array.from(files.files.get(file) ?? [])
  bytes[bytes.length - 10] = (bytes[bytes.length - 10] ?? 0) ^ 1
  files.files.set(file, bytes)
}

describe('opening', () => {
  test('an empty place gives number 0', async () => {
    const store = await open(new MemoryManifestFiles())
    expect([store.number, store.state.engineId, store.state.logs.size]).toEqual([0, '', 0])
  })

  test('gives the state that was committed, with and without bases', async () => {
    for (const count of [1, 10, MANIFEST_COMMITS_PER_BASE, 3 * MANIFEST_COMMITS_PER_BASE + 5]) {
      const files = new MemoryManifestFiles()
      const store = await openWriter(files)
      await commitMany(store, count)
      await store.close()
      const again = await open(files)
      expect([again.number, again.state.walLsn, again.state.epoch]).toEqual([count + 1, count, 1])
    }
  })

  test('reads a base and what follows, however many commits there are', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    await commitMany(store, 5000)
    await store.close()
    files.reads = 0
    files.lists = 0
    const again = await open(files)
    expect(again.number).toBe(5001)
    expect(files.reads).toBeLessThan(MANIFEST_COMMITS_PER_BASE + 3)
    expect(files.lists).toBeLessThan(10)
  })

  test('takes an older base when the newest is damaged, and says so', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    await commitMany(store, 3 * MANIFEST_COMMITS_PER_BASE)
    await store.close()
    flip(files, name(192, 'base'))
    const logger = new MemoryLogger()
    const again = await open(files, logger)
    expect(again.state.walLsn).toBe(192)
    expect(logger.entries.map((entry) => entry.fields['file'])).toEqual([name(192, 'base')])
  })

  test('reads every commit when all bases are damaged', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    await commitMany(store, 5 * MANIFEST_COMMITS_PER_BASE)
    await store.close()
    for (const file of files.files.keys()) if (file.endsWith('.base')) flip(files, file)
    expect((await open(files)).state.walLsn).toBe(320)
  })

  test('refuses a base of another history', async () => {
    const [files, others] = [new MemoryManifestFiles(), new MemoryManifestFiles()]
    const store = await openWriter(files)
    await commitMany(store, MANIFEST_COMMITS_PER_BASE)
    await store.close()
    const other = await openWriter(others, 'other')
    await commitMany(other, MANIFEST_COMMITS_PER_BASE)
    await other.close()
    files.files.set(name(64, 'base'), others.files.get(name(64, 'base')) ?? new Uint8Array())
    const logger = new MemoryLogger()
    expect((await open(files, logger)).state.writer?.id).toBe('w')
    expect(logger.entries[0]?.message).toContain('damaged')
  })

  test.each<[string, (files: MemoryManifestFiles) => void, string]>([
    ['missing', (files) => files.files.delete(name(5)), 'commit 5 is missing'],
    ['damaged', (files) => flip(files, name(5)), name(5)],
    [
      'stale',
      (files) => files.files.set(name(5), files.files.get(name(4)) ?? new Uint8Array()),
      'it is commit 4',
    ],
  ])('names a commit that is %s', async (_, damage, message) => {
    const files = new MemoryManifestFiles()
    await commitMany(await openWriter(files), 9)
    damage(files)
    await expect(open(files)).rejects.toMatchObject({
      code: 'manifest_corrupt',
      message: expect.stringContaining(message) as string,
    })
  })

  test('names a commit of another history', async () => {
    const [files, others] = [new MemoryManifestFiles(), new MemoryManifestFiles()]
    await commitMany(await openWriter(files), 9)
    await commitMany(await openWriter(others, 'other'), 9)
    files.files.set(name(5), others.files.get(name(5)) ?? new Uint8Array())
    await expect(open(files)).rejects.toThrow(
      `${name(5)} is damaged: it does not follow the commit before it`,
    )
  })
})

describe('committing', () => {
  test('callers that wait share a commit', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    const states = await Promise.all(
      Array.from({ length: 20 }, (_, index) => store.commit(checkpoint(index))),
    )
    expect(states.at(-1)?.walLsn).toBe(19)
    expect(store.number).toBeLessThanOrEqual(3)
    expect((await open(files)).state.walLsn).toBe(19)
  })

  test('edits that do not fit fail alone', async () => {
    const store = await openWriter(new MemoryManifestFiles())
    const results = await Promise.allSettled([
      store.commit(checkpoint(5)),
      store.commit(checkpoint(4)),
      store.commit(checkpoint(6)),
    ])
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(store.state.walLsn).toBe(6)
  })

  test('who needs no edits because another has them waits for that commit', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    const created = (state: ManifestState): readonly ManifestEdit[] =>
      state.logs.has(1) ? [] : [{ kind: 'log-created', log: logDefinition(1), startOffsets: [0] }]
    files.faults.push('fail-before')
    const results = await Promise.allSettled([store.commit(created), store.commit(created)])
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected'])
    expect(store.state.logs.size).toBe(0)
  })

  test('no edits commit nothing', async () => {
    const store = await openWriter(new MemoryManifestFiles())
    const before = store.number
    await store.commit([])
    await store.commit(() => [])
    expect(store.number).toBe(before)
  })

  test('a put that landed and reported a failure is a success', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    files.faults.push('land-and-fail')
    await store.commit(checkpoint(7))
    expect((await open(files)).state.walLsn).toBe(7)
    await store.commit(checkpoint(8))
    expect((await open(files)).state.walLsn).toBe(8)
  })

  test('a put that failed leaves the number to the next', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    files.faults.push('fail-before')
    await expect(store.commit(checkpoint(7))).rejects.toThrow('the put failed')
    expect(store.state.walLsn).toBe(0)
    await store.commit(checkpoint(8))
    expect((await open(files)).state.walLsn).toBe(8)
  })

  test('a put that lands late is recognised as ours and applied before the next', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    const late = new MemoryManifestFiles()
    for (const [file, bytes] of files.files) late.files.set(file, bytes)
    files.putIfAbsent = async (file, bytes) => {
      await late.putIfAbsent(file, bytes)
      throw new Error('timed out')
    }
    const created = (state: ManifestState): readonly ManifestEdit[] =>
      state.logs.has(1) ? [] : [{ kind: 'log-created', log: logDefinition(1), startOffsets: [0] }]
    await expect(store.commit(created)).rejects.toThrow('timed out')
    Reflect.deleteProperty(files, 'putIfAbsent')
    for (const [file, bytes] of late.files) files.files.set(file, bytes)
    await store.commit(checkpoint(3))
    expect([store.number, store.state.logs.size, store.state.walLsn]).toEqual([3, 1, 3])
    await store.commit(created)
    expect(store.number).toBe(3)
    expect((await open(files)).state).toMatchObject({ walLsn: 3, nextLogId: 2 })
  })

  test('a base that cannot be written fails no commit', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files)
    const put = files.putIfAbsent.bind(files)
    files.putIfAbsent = (file, bytes) =>
      file.kind === 'base' ? Promise.reject(new Error('no')) : put(file, bytes)
    await commitMany(store, 2 * MANIFEST_COMMITS_PER_BASE)
    await store.close()
    expect((await open(files)).state.walLsn).toBe(128)
  })

  test('after close is refused', async () => {
    const store = await openWriter(new MemoryManifestFiles())
    await store.close()
    await expect(store.commit(checkpoint(1))).rejects.toMatchObject({ code: 'engine_closed' })
  })
})

describe('two writers', () => {
  test('the older is fenced at its next commit and says by whom, and stays fenced', async () => {
    const files = new MemoryManifestFiles()
    const old = await openWriter(files, 'old')
    const young = await openWriter(files, 'young')
    await expect(old.commit(checkpoint(1))).rejects.toMatchObject({
      code: 'writer_fenced',
      details: { writer: { id: 'old', epoch: 1 }, rival: { id: 'young', epoch: 2, host: 'host' } },
    })
    await expect(old.commit(checkpoint(1))).rejects.toMatchObject({ code: 'writer_fenced' })
    await expect(old.refresh()).rejects.toMatchObject({ code: 'writer_fenced' })
    await young.commit(checkpoint(2))
    expect((await open(files)).state.walLsn).toBe(2)
  })

  test('a claim of ours that was done and answered with an error is not a rival of the next one', async () => {
    const files = new MemoryManifestFiles()
    const store = await openWriter(files, 'own')
    const put = files.putIfAbsent.bind(files)
    files.putIfAbsent = async (file, bytes) => {
      await put(file, bytes)
      throw new Error('the directory cannot be synced')
    }
    // Done; what is answered is that nobody knows, as the directory that names it cannot be synced.
    await expect(store.claim(writer('own'), '')).rejects.toThrow('cannot be synced')
    files.putIfAbsent = put
    await store.claim(writer('own'), '')
    expect((await store.commit(checkpoint(1))).epoch).toBe(3)
    await openWriter(files, 'young')
    await expect(store.commit(checkpoint(2))).rejects.toMatchObject({ code: 'writer_fenced' })
  })

  test('a claim that is not wanted of what came in between fences nobody', async () => {
    const files = new MemoryManifestFiles()
    const old = await openWriter(files, 'old')
    const young = await open(files)
    const seen: number[] = []
    // What the older commits while the state is looked at is looked at too.
    const claim = young.claim(writer('young'), '', [], async ({ walLsn }) => {
      seen.push(walLsn)
      if (walLsn === 0) await old.commit(checkpoint(5))
      else throw new Error('not this one')
    })
    await expect(claim).rejects.toThrow('not this one')
    expect(seen).toEqual([0, 5])
    expect((await old.commit(checkpoint(6))).epoch).toBe(1)
  })

  test('who opened the older is told before anybody who waits for it', async () => {
    const files = new MemoryManifestFiles()
    const told: string[] = []
    const old = await ManifestStore.open(files, {
      clock: new VirtualClock(),
      onFenced: ({ code }) => told.push(code),
    })
    await old.claim(writer('old'), 'engine')
    await openWriter(files, 'young')
    const refused = old.commit(checkpoint(1)).catch(() => told.push('the commit'))
    await Promise.all([refused, old.commit(checkpoint(1)).catch(() => told.push('another'))])
    await old.commit(checkpoint(1)).catch(() => {})
    expect(told).toEqual(['writer_fenced', 'the commit', 'another'])
  })

  test('the older learns it from a refresh too', async () => {
    const files = new MemoryManifestFiles()
    const old = await openWriter(files, 'old')
    await old.refresh()
    await openWriter(files, 'young')
    await expect(old.refresh()).rejects.toMatchObject({ code: 'writer_fenced' })
  })

  test('that claim at once get different epochs', async () => {
    const files = new MemoryManifestFiles()
    const stores = await Promise.all([open(files), open(files), open(files)])
    const states = await Promise.all(
      stores.map((store, index) => store.claim(writer(`w${index}`), `engine-${index}`)),
    )
    expect(new Set(states.map((state) => state.epoch))).toEqual(new Set([1, 2, 3]))
    expect(new Set(states.map((state) => state.engineId)).size).toBe(1)
  })
})

test('a reader beside the writer sees each commit after a refresh', async () => {
  const files = new MemoryManifestFiles()
  const store = await openWriter(files)
  const reader = await open(files)
  for (let walLsn = 1; walLsn < 100; walLsn++) {
    await store.commit(checkpoint(walLsn))
    expect((await reader.refresh()).walLsn).toBe(walLsn)
  }
})
