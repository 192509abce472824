/** `keep: 'latest'` and snapshots: what one holds stays, from its instant on. */
import { expect, test, vi } from 'vitest'
import { Stratalog, VirtualClock, restoreArchive } from '../../src/index.ts'
import { ArchiveWriter } from '../../src/tiering/archive-writer.ts'
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
