/** Two machines and one archive: what the one that was superseded may still do. */
import { expect, test } from 'vitest'
import { type Log, Stratalog, VirtualClock, restoreArchive } from '../../src/index.ts'
import { connect } from '../../src/client/index.ts'
import { eventually } from '../support/eventually.ts'
import { expectError } from '../support/expect-error.ts'
import { TestServer } from '../support/server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

interface Machines {
  readonly root: string
  readonly archive: string
}

async function machines(): Promise<Machines> {
  const root = await temporaryDirectory()
  return { root, archive: `file://${root}/archive` }
}

/** The archive on another machine, which is its writer from then on. */
async function takeOver({ root, archive }: Machines): Promise<Stratalog> {
  await restoreArchive({ archive, dataDir: `${root}/b` })
  return Stratalog.open({ dataDir: `${root}/b`, archive })
}

async function numbers(log: Log): Promise<readonly number[]> {
  return (await log.read().toArray()).map(({ n }) => Number(n))
}

test('a machine that meets a newer writer of its archive acknowledges nothing more, and reads go on', async () => {
  const place = await machines()
  const { root, archive } = place
  const first = await Stratalog.open({ dataDir: `${root}/a`, archive, logLevel: 'silent' })
  const orders = await first.createLog('orders', { storage: { archiveAfter: '1h' } })
  const sessions = await first.createLog('sessions', { storage: { mode: 'memory' } })
  const metrics = await first.createLog('metrics', { storage: { mode: 'hybrid', wal: false } })
  for (const log of [orders, sessions, metrics]) await log.append([{ n: 1 }, { n: 2 }])
  await first.tier.now({ to: 'object' })
  await using second = await takeOver(place)
  await second.log('orders').append({ n: 100 }, { ack: 'object' })
  const waiting = await expectError(orders.append({ n: 3 }, { ack: 'object' }), 'writer_fenced')
  expect(waiting.kind).toBe('fenced')
  expect(waiting.details['fate']).toBe('unknown')
  for (const log of [orders, sessions, metrics]) {
    const refused = await expectError(log.append({ n: 4 }), 'writer_fenced')
    expect(refused.details).toMatchObject({ fate: 'not_applied', location: archive })
  }
  await expectError(first.createLog('after'), 'writer_fenced')
  await expectError(first.deleteLog('orders'), 'writer_fenced')
  await expectError(first.tier.now(), 'writer_fenced')
  expect(first.status()).toMatchObject({
    disk: { state: 'fenced', reason: expect.stringContaining('epoch 2') },
    failure: expect.stringContaining('newer writer'),
  })
  expect(await numbers(orders)).toEqual([1, 2, 3])
  await first.close()
  await second.log('orders').append({ n: 101 }, { ack: 'object' })
  expect(await numbers(second.log('orders'))).toEqual([1, 2, 100, 101])
})

test('what is in RAM only when a newer writer is met is on the disk when the engine is closed', async () => {
  const place = await machines()
  const { root, archive } = place
  const first = await Stratalog.open({ dataDir: `${root}/a`, archive, logLevel: 'silent' })
  const storage = { mode: 'hybrid', wal: false, archiveAfter: '1h' } as const
  const metrics = await first.createLog('metrics', { storage })
  const direct = await first.createLog('direct', { storage: { ...storage, localDisk: false } })
  for (const log of [metrics, direct]) await log.append({ n: 1 })
  await first.tier.now({ to: 'object' })
  await using second = await takeOver(place)
  for (const log of [metrics, direct]) await log.append({ n: 2 })
  await expectError(first.tier.collect(), 'writer_fenced')
  await first.close()
  await using later = await Stratalog.openReadOnly({ dataDir: `${root}/a`, archive })
  for (const { name } of [metrics, direct]) expect(await numbers(later.log(name))).toEqual([1, 2])
  expect(await numbers(second.log('metrics'))).toEqual([1])
})

test('an idle machine learns of a newer writer within fenceCheckInterval, by one GET at a time', async () => {
  const place = await machines()
  const { root, archive } = place
  const clock = new VirtualClock()
  const options = { dataDir: `${root}/a`, archive, logLevel: 'silent' } as const
  const first = await Stratalog.open({ ...options, fenceCheckInterval: '20s' }, { clock })
  const orders = await first.createLog('orders', { storage: { archiveAfter: '1h' } })
  await orders.append({ n: 1 })
  const requests = (): object => ({ ...first.status().archive?.requests })
  const before = first.status().archive?.requests
  for (let look = 1; look <= 3; look++) {
    clock.advance(20_000)
    await eventually(() =>
      expect(first.status().archive?.requests.get).toBe((before?.get ?? 0) + look),
    )
  }
  expect(requests()).toMatchObject({ ...before, get: (before?.get ?? 0) + 3 })
  await using second = await takeOver(place)
  await orders.append({ n: 2 })
  clock.advance(20_000)
  await eventually(() => expect(first.status().disk?.state).toBe('fenced'))
  await expectError(orders.append({ n: 3 }), 'writer_fenced')
  await first.close()
  expect(second.logs()).toEqual([])
})

test('a server whose archive has a newer writer answers 403, is not ready, and is not asked again', async () => {
  const place = await machines()
  const { root, archive } = place
  const flags = ['--data-dir', `${root}/a`, '--archive', archive, '--fence-check-interval', '50ms']
  const server = await TestServer.start(flags)
  const client = await connect(server.url)
  const orders = await client.createLog('orders')
  await orders.append({ n: 1 })
  await using _second = await takeOver(place)
  await eventually(() => expectError(orders.append({ n: 2 }), 'writer_fenced'))
  const body = JSON.stringify({ n: 3 })
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${server.url}/v1/logs/orders/records`, {
    method: 'POST',
    headers,
    body,
  })
  expect([answer.status, await answer.json()]).toMatchObject([403, { code: 'writer_fenced' }])
  expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
  await client.close()
  await server.stop()
})
