/** A directory whose archive another machine went on with: what only it has is kept, under another name. */
import { expect, test } from 'vitest'
import {
  type Log,
  Stratalog,
  VirtualClock,
  reconcileArchive,
  restoreArchive,
} from '../../src/index.ts'
import { runCli } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

interface Place {
  readonly dataDir: string
  readonly archive: string
  readonly other: string
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  return { dataDir: `${root}/a`, archive: `file://${root}/archive`, other: `${root}/b` }
}

async function numbers(log: Log): Promise<readonly number[]> {
  return (await log.read().toArray()).map(({ n }) => Number(n))
}

async function takeOver({ archive, other }: Place): Promise<Stratalog> {
  await restoreArchive({ archive, dataDir: other })
  return Stratalog.open({ dataDir: other, archive })
}

test('what a superseded machine acknowledged is a fork, and the log goes on as the archive has it', async () => {
  const at = await place()
  const { dataDir, archive } = at
  const options = { dataDir, archive, logLevel: 'silent' } as const
  const storage = { archiveAfter: '1h' } as const
  const first = await Stratalog.open(options)
  const orders = await first.createLog('orders', { storage })
  await orders.append([{ n: 0 }, { n: 1 }])
  const quiet = await first.createLog('quiet', { storage })
  await quiet.append({ n: 7 })
  await first.tier.now({ to: 'object' })
  const second = await takeOver(at)
  await second.log('orders').append([{ n: 100 }, { n: 101 }, { n: 102 }], { ack: 'object' })
  // Some of it is in a segment, some in the WAL only.
  await orders.append([{ n: 2 }, { n: 3 }])
  await first.tier.now({ to: 'disk' })
  await orders.append([{ n: 4, added: 'here' }])
  await quiet.append({ n: 8 })
  await expectError(orders.append({ n: 5 }, { ack: 'object' }), 'writer_fenced')
  await first.close()
  const refused = await expectError(Stratalog.open(options), 'archive_diverged')
  expect(refused.message).toContain('stratalog reconcile')
  // Nobody is disturbed by that.
  await second.log('orders').append({ n: 103 }, { ack: 'object' })
  const { logs } = await reconcileArchive({ dataDir, archive })
  const [reconciled] = logs
  expect(logs).toEqual([
    {
      log: 'orders',
      as: expect.stringMatching(/^orders\.kept-\d+$/),
      isInArchive: true,
      kept: [{ partition: 0, from: 2, to: 6 }],
    },
  ])
  expect(await reconcileArchive({ dataDir, archive })).toEqual({ logs: [] })
  await second.log('orders').append({ n: 104 }, { ack: 'object' })
  const fork = reconciled?.as ?? ''
  const aside = await Stratalog.openReadOnly({ dataDir })
  expect(await numbers(aside.log(fork))).toEqual([2, 3, 4, 5])
  await aside.close()
  await second.close()
  const later = await Stratalog.open(options)
  expect(await numbers(later.log('orders'))).toEqual([0, 1, 100, 101, 102, 103, 104])
  expect(await numbers(later.log(fork))).toEqual([2, 3, 4, 5])
  expect(await later.log(fork).get(4)).toMatchObject({ n: 4, added: 'here' })
  expect(await numbers(later.log('quiet'))).toEqual([7, 8])
  await later.log('orders').append({ n: 105 }, { ack: 'object' })
  await later.log(fork).append({ n: 6 }, { ack: 'object' })
  expect(await later.tier.now({ to: 'object' })).toMatchObject({ pending: 0, failed: [] })
  await later.close()
  const third = await Stratalog.openArchive(archive)
  expect(third.status().logs.map(({ name }) => name)).toEqual(['orders', fork, 'quiet'])
  await third.close()
})

test('records of another machine under the same offsets and at the same times are told apart', async () => {
  const at = await place()
  const { dataDir, archive, other } = at
  const clock = new VirtualClock()
  const first = await Stratalog.open({ dataDir, archive, logLevel: 'silent' }, { clock })
  const orders = await first.createLog('orders', { storage: { archiveAfter: '1h' } })
  await orders.append({ n: 0 })
  await first.tier.now({ to: 'object' })
  await restoreArchive({ archive, dataDir: other })
  const second = await Stratalog.open({ dataDir: other, archive }, { clock })
  await second.log('orders').append({ n: 100 })
  clock.advance(10)
  await orders.append({ n: 1 })
  clock.advance(10)
  await second.log('orders').append({ n: 101 })
  await second.tier.now({ to: 'object' })
  await first.close()
  await expectError(Stratalog.open({ dataDir, archive }), 'archive_diverged')
  // Who is refused has not become the archive's writer.
  await second.log('orders').append({ n: 102 })
  await second.tier.now({ to: 'object' })
  await second.close()
  const { logs } = await reconcileArchive({ dataDir, archive })
  expect(logs).toMatchObject([{ log: 'orders', kept: [{ partition: 0, from: 1, to: 2 }] }])
  await using later = await Stratalog.open({ dataDir, archive })
  expect(await numbers(later.log('orders'))).toEqual([0, 100, 101, 102])
  expect(await numbers(later.log(logs[0]?.as ?? ''))).toEqual([1])
})

test('logs that two machines made under one number, or that one deleted, are kept too', async () => {
  const at = await place()
  const { dataDir, archive } = at
  const first = await Stratalog.open({ dataDir, archive, logLevel: 'silent' })
  const storage = { archiveAfter: '1h' } as const
  const deleted = await first.createLog('deleted', { storage })
  await deleted.append({ n: 0 }, { ack: 'object' })
  const second = await takeOver(at)
  await second.deleteLog('deleted')
  await (await second.createLog('there', { storage })).append({ n: 100 }, { ack: 'object' })
  await deleted.append({ n: 1 })
  await (await first.createLog('here', { storage })).append({ n: 2 })
  await first.close()
  await expectError(Stratalog.open({ dataDir, archive }), 'archive_diverged')
  const { logs } = await reconcileArchive({ dataDir, archive })
  expect(logs).toMatchObject([
    { log: 'deleted', isInArchive: false, kept: [{ from: 1, to: 2 }] },
    { log: 'here', isInArchive: true, kept: [{ from: 0, to: 1 }] },
  ])
  await second.close()
  await using later = await Stratalog.open({ dataDir, archive })
  expect(
    later
      .logs()
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual([...logs.map(({ as }) => as), 'there'])
  expect(await numbers(later.log('there'))).toEqual([100])
  expect(await numbers(later.log(logs[0]?.as ?? ''))).toEqual([1])
  expect(await numbers(later.log(logs[1]?.as ?? ''))).toEqual([2])
})

test('what never had a local segment, and what readers did not see yet, is kept as well', async () => {
  const at = await place()
  const { dataDir, archive } = at
  const first = await Stratalog.open({ dataDir, archive, logLevel: 'silent' })
  const direct = await first.createLog('direct', {
    storage: { localDisk: false, archiveAfter: '1h' },
    partitions: 2,
  })
  const hidden = await first.createLog('hidden', { storage: { ack: 'object' } })
  await direct.append({ n: 0 }, { partition: 0 })
  await first.tier.pause()
  await hidden.append({ n: 0 })
  await first.tier.now({ to: 'object' })
  await using second = await takeOver(at)
  await second.log('direct').append({ n: 100 }, { partition: 0 })
  await second.log('hidden').append({ n: 100 })
  await second.tier.now({ to: 'object' })
  for (const partition of [0, 1]) await direct.append({ n: partition + 1 }, { partition })
  await hidden.append({ n: 1 }, { ack: 'disk' })
  await first.close()
  const { logs } = await reconcileArchive({ dataDir, archive })
  expect(logs).toMatchObject([
    {
      log: 'direct',
      kept: [
        { partition: 0, from: 1, to: 2 },
        { partition: 1, from: 0, to: 1 },
      ],
    },
    { log: 'hidden', kept: [{ partition: 0, from: 1, to: 2 }] },
  ])
  await using later = await Stratalog.openReadOnly({ dataDir })
  expect(await numbers(later.log(logs[0]?.as ?? ''))).toEqual([1, 2])
  expect(await numbers(later.log(logs[1]?.as ?? ''))).toEqual([1])
})

test('an archive of another engine is no place to reconcile with', async () => {
  const at = await place()
  const { dataDir, archive, other } = at
  await (await Stratalog.open({ dataDir })).close()
  await (await Stratalog.open({ dataDir: other, archive })).close()
  await expectError(reconcileArchive({ dataDir, archive }), 'archive_foreign')
})

test('the command says what it kept, once as a table and once as JSON', async () => {
  const at = await place()
  const { dataDir, archive } = at
  const first = await Stratalog.open({ dataDir, archive, logLevel: 'silent' })
  const orders = await first.createLog('orders', { storage: { archiveAfter: '1h' } })
  await orders.append({ n: 0 }, { ack: 'object' })
  await using second = await takeOver(at)
  await second.log('orders').append({ n: 100 }, { ack: 'object' })
  await orders.append({ n: 1 })
  await first.close()
  const flags = ['--data-dir', dataDir, '--archive', archive]
  const refused = await runCli(['append', ...flags, '--log', 'orders'], { input: '{"n":2}' })
  expect([refused.status, refused.stderr]).toEqual([
    4,
    expect.stringContaining('stratalog reconcile'),
  ])
  const told = await runCli(['reconcile', ...flags])
  expect([told.status, told.stdout]).toEqual([
    0,
    expect.stringMatching(/orders\.kept-\d+ +0: 1 to 2/),
  ])
  const again = await runCli(['reconcile', ...flags, '--json'])
  expect(JSON.parse(again.stdout)).toEqual({ logs: [] })
  const kept = /orders\.kept-\d+/.exec(told.stdout)?.[0] ?? ''
  const read = await runCli(['read', '--data-dir', dataDir, '--log', kept, '--format', 'ndjson'])
  expect(read.stdout).toContain('"n":1')
  expect((await runCli(['reconcile', '--data-dir', dataDir])).status).toBe(2)
})
