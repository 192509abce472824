/**
 * A fork that is killed before any call that it makes to its disk or its archive, and one whose source is deleted
 * before any such call: it is there whole, or not at all, and its source is as it was.
 */
import { cp } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { StoragePorts } from '../../src/engine/storage-ports.ts'
import { storageOf } from '../../src/engine/system-storage.ts'
import { type Log, Stratalog, StratalogError, verifyFiles } from '../../src/index.ts'
import type { FileSystem } from '../../src/storage/file-system.ts'
import { openObjectStore } from '../../src/storage/open-object-store.ts'
import { expectError } from '../support/expect-error.ts'
import { UP_TO, append, numbers } from '../support/number-logs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** Of the source: three segments of ten, and five in RAM. */
const COUNT = 35
const AT = 25

type Before = (call: string) => Promise<void>

/** Calls that change something are told of before they are made. */
const CHANGES = new Set([
  ...['create', 'putIfAbsent', 'rename', 'remove', 'removeDirectory', 'makeDirectory'],
  ...['write', 'sync', 'syncDirectory'],
])

function watched<T extends object>(object: T, before: Before): T {
  return new Proxy(object, {
    get(of, name) {
      const value: unknown = Reflect.get(of, name)
      if (typeof value !== 'function') return value
      return async (...given: unknown[]): Promise<unknown> => {
        if (CHANGES.has(String(name))) await before(String(name))
        const result: unknown = await Reflect.apply(value, of, given)
        return name === 'create' ? watched(result as object, before) : result
      }
    },
  })
}

interface Place {
  readonly dataDir: string
  readonly archive: string
}

const placeIn = (root: string): Place => ({
  dataDir: `${root}/data`,
  archive: `file://${root}/archive`,
})

class Scene {
  readonly root: string
  readonly place: Place
  /** What comes before the next calls. */
  before: Before = async () => {}

  private constructor(root: string) {
    this.root = root
    this.place = placeIn(root)
  }

  static async create(): Promise<Scene> {
    return new Scene(await temporaryDirectory())
  }

  async open(): Promise<Stratalog> {
    const system = storageOf({ storage: null })
    const fileSystem: FileSystem = watched(system.fileSystem, (call) => this.before(call))
    const storage: StoragePorts = {
      ...system,
      fileSystem,
      openObjectStore: (url, given) =>
        openObjectStore(url, { ...given, fileSystem, environment: {} }),
    }
    return Stratalog.open({ ...this.place, walBytesMax: '4MB' }, { storage })
  }

  /** An engine whose log has been archived but for the newest records, and that does nothing by itself. */
  async filled(): Promise<{ readonly db: Stratalog; readonly source: Log }> {
    const db = await this.open()
    await db.tier.pause()
    const source = await db.createLog('log')
    for (const from of [0, 10, 20]) {
      await append(source, from, 10)
      await db.tier.now({ to: 'object' })
    }
    await append(source, 30, COUNT - 30)
    return { db, source }
  }
}

async function assertSound(place: Place): Promise<void> {
  const report = await verifyFiles(place)
  expect(report).toMatchObject({ verdict: 'PASS', problems: [] })
}

test('a fork that is killed before any of its steps is there whole or not at all', async () => {
  const scene = await Scene.create()
  const { db } = await scene.filled()
  const killed: string[] = []
  scene.before = async (call) => {
    const root = `${scene.root}/killed-${killed.length}`
    killed.push(call)
    for (const part of ['data', 'archive'])
      await cp(`${scene.root}/${part}`, `${root}/${part}`, { recursive: true })
  }
  await db.fork('log', 'fork', { atOffset: AT })
  scene.before = async () => {}
  await db.close()
  // The flush of the source, the segment that is cut, the commit, and the archive's.
  expect(killed.filter((call) => call === 'putIfAbsent').length).toBeGreaterThanOrEqual(3)
  expect(killed.filter((call) => call === 'rename').length).toBeGreaterThanOrEqual(2)
  const outcomes = new Set<boolean>()
  for (const step of killed.keys()) {
    const place = placeIn(`${scene.root}/killed-${step}`)
    {
      await using again = await Stratalog.open(place)
      const isThere = again.logs().some(({ name }) => name === 'fork')
      outcomes.add(isThere)
      expect(await numbers(again.log('log'))).toEqual(UP_TO(COUNT))
      const fork = isThere ? again.log('fork') : await again.fork('log', 'fork', { atOffset: AT })
      expect(await numbers(fork)).toEqual(UP_TO(AT))
      await append(fork, AT, 2)
      await append(again.log('log'), COUNT, 1)
      await again.tier.now({ to: 'object' })
      await again.tier.collect({ grace: 0 })
      expect(await numbers(fork)).toEqual(UP_TO(AT + 2))
    }
    await using archive = await Stratalog.openArchive(place.archive)
    expect(await archive.log('fork').read().toArray()).toHaveLength(AT + 2)
    expect(await archive.log('log').read().toArray()).toHaveLength(COUNT + 1)
    await assertSound(place)
  }
  expect([...outcomes]).toEqual([false, true])
}, 120_000)

/** Begins `second` before call number `call` of `first`, and waits for both. */
async function meeting(
  scene: Scene,
  call: number,
  first: () => Promise<unknown>,
  second: () => Promise<unknown>,
): Promise<readonly PromiseSettledResult<unknown>[] | null> {
  let calls = 0
  const others: Promise<unknown>[] = []
  scene.before = async () => {
    if (calls++ !== call) return
    const other = second()
    other.catch(() => {})
    others.push(other)
    // As far as it comes while this call waits.
    await new Promise(setImmediate)
  }
  const [one] = await Promise.allSettled([first()])
  scene.before = async () => {}
  if (others.length === 0) return null
  return [one, ...(await Promise.allSettled(others))]
}

test.each(['fork', 'deletion'] as const)(
  'a fork and the deletion of its source meet, the %s first: the fork is whole, or refused',
  async (first) => {
    const outcomes: string[] = []
    for (let call = 0; ; call++) {
      const scene = await Scene.create()
      const { db } = await scene.filled()
      const forking = async (): Promise<unknown> => db.fork('log', 'fork', { atOffset: AT })
      const deleting = async (): Promise<unknown> => db.deleteLog('log')
      const isForkFirst = first === 'fork'
      const results = isForkFirst
        ? await meeting(scene, call, forking, deleting)
        : await meeting(scene, call, deleting, forking)
      if (results === null) {
        await db.close()
        break
      }
      const [fork, deletion] = isForkFirst ? results : results.toReversed()
      expect(deletion).toMatchObject({ status: 'fulfilled' })
      outcomes.push(fork?.status ?? '')
      if (fork?.status === 'rejected') {
        const { reason } = fork
        expect(reason).toBeInstanceOf(StratalogError)
        expect(['log_deleted', 'log_not_found']).toContain((reason as StratalogError).code)
        // The name is free, and nothing of it is left.
        await db.createLog('fork')
      }
      const expected = fork?.status === 'fulfilled' ? UP_TO(AT) : []
      await expectError((async () => db.log('log'))(), 'log_not_found')
      expect(await numbers(db.log('fork'))).toEqual(expected)
      await db.tier.now({ to: 'object' })
      await db.tier.collect({ grace: 0 })
      await db.tier.collect({ grace: 0 })
      expect(await numbers(db.log('fork'))).toEqual(expected)
      await db.close()
      await assertSound(scene.place)
      await using again = await Stratalog.open(scene.place)
      expect(again.logs().map(({ name }) => name)).toEqual(['fork'])
      expect(await numbers(again.log('fork'))).toEqual(expected)
    }
    expect(outcomes.length).toBeGreaterThan(3)
    expect(outcomes).toContain(first === 'fork' ? 'fulfilled' : 'rejected')
  },
  180_000,
)
