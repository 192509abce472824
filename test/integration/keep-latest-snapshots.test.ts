/** `keep: 'latest'` and snapshots: what one holds stays, from its instant on; where it cannot, it is refused. */
import { readdir } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { Stratalog, VirtualClock, restoreArchive } from '../../src/index.ts'
import { ArchiveWriter } from '../../src/tiering/archive-writer.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

test('what a snapshot pinned stays while it is being made', async () => {
  const clock = new VirtualClock()
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  let hash = ''
  {
    await using db = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
    const log = await db.createLog('log', {
      keyColumn: 'key',
      schema: { key: 'utf8', n: 'int32' },
      storage: { keep: 'latest', memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m' },
    })
    const append = (from: number): Promise<unknown> =>
      log.append(Array.from({ length: 10 }, (_, n) => ({ key: `k${n}`, n: from + n })))
    await append(0)
    await log.append({ key: 'last', n: 10 })
    hash = await log.latestHash()
    const committing = vi
      .spyOn(ArchiveWriter.prototype, 'commitSnapshot')
      .mockImplementationOnce(async function (this: ArchiveWriter, ...given) {
        // Other logs are still uploaded; this one goes on meanwhile.
        await append(11)
        await db.tier.now()
        clock.advance(HOUR)
        while ((await db.tier.run()).length > 0);
        await db.tier.compact()
        return this.commitSnapshot(...given)
      })
    await db.snapshot({ name: 's' })
    committing.mockRestore()
    expect(await log.read().toArray()).toHaveLength(21)
    expect(await log.latestHash({ asOf: 's' })).toBe(hash)
    // Nothing is held any longer once it is gone.
    await db.deleteSnapshot('s')
    await db.tier.compact()
    expect(await log.read().toArray()).toHaveLength(11)
    await db.snapshot({ name: 'later' })
    hash = await log.latestHash()
  }
  const dataDir = `${root}/restored`
  await restoreArchive({ archive, dataDir, snapshot: 'later' })
  await using restored = await Stratalog.open({ dataDir }, { clock })
  expect(await restored.log('log').latestHash()).toBe(hash)
})

describe('beside a snapshotLocation', () => {
  const latest = { keep: 'latest' } as const

  test('it is refused as a default, as a log is made, and as one is changed', async () => {
    const root = await temporaryDirectory()
    const at = { dataDir: `${root}/data`, snapshotLocation: `${root}/snapshots` }
    const refused = await expectError(Stratalog.open({ ...at, defaults: latest }), 'config_invalid')
    expect(refused.message).toContain('defaults.keep')
    expect(refused.message).toContain('archive')
    await using db = await Stratalog.open(at)
    await expectError(db.createLog('log', { keyColumn: 'key', storage: latest }), 'config_invalid')
    const log = await db.createLog('log', { keyColumn: 'key' })
    await expectError(db.alterLog('log', { storage: latest }), 'config_invalid')
    expect(log.describe().policy.keep).toBe('all')
  })

  test('a directory with such a log, or one that was, is not opened, and goes on without', async () => {
    const clock = new VirtualClock()
    const root = await temporaryDirectory()
    const at = { dataDir: `${root}/data` }
    const withPlace = { ...at, snapshotLocation: `${root}/snapshots` }
    const storage = { ...latest, memoryTtl: '1m', diskAfter: '1m' }
    {
      await using db = await Stratalog.open(at, { clock })
      const log = await db.createLog('log', { keyColumn: 'key', storage })
      await log.append([0, 1].map((n) => ({ key: 'a', n })))
    }
    const refused = await expectError(Stratalog.open(withPlace, { clock }), 'config_invalid')
    expect(refused.message).toContain(`log 'log'`)
    await expect(readdir(withPlace.snapshotLocation)).rejects.toThrow('ENOENT')
    {
      await using db = await Stratalog.open(at, { clock })
      await db.tier.now()
      clock.advance(HOUR)
      while ((await db.tier.run()).length > 0);
      await db.tier.compact()
      expect(await db.log('log').read().toArray()).toHaveLength(1)
      await db.alterLog('log', { storage: { keep: 'all' } })
    }
    await expectError(Stratalog.open(withPlace, { clock }), 'config_invalid')
    {
      await using db = await Stratalog.open(at, { clock })
      await db.deleteLog('log')
    }
    await using db = await Stratalog.open(withPlace, { clock })
    expect(db.logs()).toEqual([])
  })

  test('one that the archive has is not attached', async () => {
    const root = await temporaryDirectory()
    const archive = `file://${root}/archive`
    const at = { dataDir: `${root}/data`, archive }
    {
      await using db = await Stratalog.open(at)
      const log = await db.createLog('log', { keyColumn: 'key', storage: latest })
      await log.append({ key: 'a', n: 0 })
      await db.tier.now()
      await db.tier.detach('log')
    }
    {
      await using db = await Stratalog.open({ ...at, snapshotLocation: `${root}/snapshots` })
      await expectError(db.tier.attach('log'), 'config_invalid')
    }
    // The archive is a place where they may lie.
    await using db = await Stratalog.open({ ...at, snapshotLocation: archive })
    await db.tier.attach('log')
    expect(await db.log('log').read().toArray()).toHaveLength(1)
  })
})
