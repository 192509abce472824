/** Every benchmark also runs tiny, so that it cannot rot, and what it prints is what scripts rely on. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { type Socket, createServer } from 'node:net'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ackBeside } from '../../bench/ack-beside.bench.ts'
import { appendDurable } from '../../bench/append-durable.bench.ts'
import { appendMemory } from '../../bench/append-memory.bench.ts'
import {
  constant,
  median,
  percentile,
  runBenchmark,
  summarize,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
} from '../../bench/harness.ts'
import { RespConnection, encodeCommand } from '../../bench/resp.ts'
import { manifest } from '../../bench/manifest.bench.ts'
import { memoryFootprint } from '../../bench/memory-footprint.bench.ts'
import { coldRead } from '../../bench/cold-read.bench.ts'
import { durableStreams } from '../../bench/durable-streams.bench.ts'
import { http } from '../../bench/http.bench.ts'
import { importBench } from '../../bench/import.bench.ts'
import { pointMemory } from '../../bench/point-memory.bench.ts'
import { readMemory } from '../../bench/read-memory.bench.ts'
import { recovery } from '../../bench/recovery.bench.ts'
import { requests } from '../../bench/requests.bench.ts'
import { restoreLazy } from '../../bench/restore-lazy.bench.ts'
import { restoreMemory } from '../../bench/restore-memory.bench.ts'
import { restoreBench } from '../../bench/restore.bench.ts'
import { snapshot } from '../../bench/snapshot.bench.ts'
import { sqlCold } from '../../bench/sql-cold.bench.ts'
import { sqlHot } from '../../bench/sql-hot.bench.ts'
import { sqlLatest } from '../../bench/sql-latest.bench.ts'
import { startup } from '../../bench/startup.bench.ts'
import { streamSql } from '../../bench/stream-sql.bench.ts'
import { tiering } from '../../bench/tiering.bench.ts'
import { sharedMinio } from '../support/minio-global.ts'
import { repositoryRoot } from '../support/repository.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

beforeAll(() => sharedMinio().then(() => {}), 15 * 60_000)

describe('each benchmark runs tiny, reads back what it stored and compares itself', () => {
  test.each([
    appendMemory,
    readMemory,
    pointMemory,
    memoryFootprint,
    startup,
    appendDurable,
    recovery,
    ackBeside,
    tiering,
    manifest,
    coldRead,
    requests,
    restoreBench,
    sqlHot,
    sqlCold,
    sqlLatest,
    streamSql,
    restoreLazy,
    restoreMemory,
    http,
    durableStreams,
    snapshot,
    importBench,
  ])('$name', async (benchmark) => {
    let cases = 0
    for await (const result of runBenchmark(benchmark, 'tiny')) {
      cases++
      expect(result.ours).toBeGreaterThan(0)
      expect(result.limit.value).toBeGreaterThan(0)
    }
    expect(cases).toBeGreaterThan(0)
  })
})

describe('the harness', () => {
  const contender = (name: string, value: number, checksum: string | null = 'sum'): Contender => ({
    name,
    measure: async () => ({ value, checksum }),
  })
  const subject: BenchmarkCase = {
    name: 'case',
    unit: 'records/s',
    higherIsBetter: true,
    targets: { peer: { floor: 2, goal: 5 }, limit: { floor: 0.1, goal: 0.3 } },
    checksum: 'sum',
    ours: contender('ours', 40),
    peers: [contender('peer', 10)],
    limit: contender('limit', 100, null),
    missing: ['redis: not installed'],
  }
  const benchmark = (changes: Partial<BenchmarkCase>): Benchmark => ({
    name: 'bench',
    question: 'How?',
    async *cases() {
      yield { ...subject, ...changes }
    },
  })

  test('measures everyone in turn, run by run', async () => {
    const order: string[] = []
    const noting = (name: string): Contender => ({
      name,
      measure: async () => {
        order.push(name)
        return { value: 1, checksum: 'sum' }
      },
    })
    const turns = benchmark({ ours: noting('A'), peers: [noting('B')], limit: noting('L') })
    for await (const result of runBenchmark(turns, 'quick')) expect(result.runs).toBe(3)
    expect(order.join('')).toBe('ABLABLABL')
  })

  test('gives ratios that say how many times better ours is, whatever way is better', () => {
    const values = new Map([
      [subject.ours, [40, 50, 45]],
      [subject.peers[0] ?? subject.ours, [15]],
      [subject.limit, [90]],
    ])
    const more = summarize('bench', subject, values)
    expect(more).toMatchObject({ ours: 45, met: 'floor', floor: { peer: 2, limit: 0.1 } })
    expect(more.peers).toEqual({ peer: { value: 15, ratio: 3 } })
    expect(more.limit).toEqual({ name: 'limit', value: 90, ratio: 0.5 })
    expect(more.spread).toBeCloseTo(10 / 45, 3)
    const less = summarize('bench', { ...subject, higherIsBetter: false }, values)
    expect(less.peers['peer']?.ratio).toBeCloseTo(1 / 3, 3)
    expect(less.limit.ratio).toBe(2)
    expect(less.met).toBe('short')
  })

  test('takes the worst of the targets as the verdict', async () => {
    const verdict = async (targets: BenchmarkCase['targets']): Promise<string> => {
      let met = ''
      for await (const result of runBenchmark(benchmark({ targets }), 'tiny')) met = result.met
      return met
    }
    expect(await verdict({ peer: { floor: 2, goal: 4 } })).toBe('goal')
    expect(await verdict({ peer: { floor: 2, goal: 4 }, limit: { floor: 0.4, goal: 0.9 } })).toBe(
      'floor',
    )
    expect(await verdict({ peer: { floor: 4.1, goal: 9 } })).toBe('short')
  })

  test('refuses a contender that reads back other records', async () => {
    const wrong = benchmark({ peers: [contender('peer', 10, 'another sum')] })
    await expect(async () => {
      for await (const result of runBenchmark(wrong, 'tiny')) expect(result).toBeUndefined()
    }).rejects.toThrow('bench case peer read back other records')
  })

  test('compares with a figure that is set as with any other', async () => {
    const limit = constant('2 µs', 2)
    const set = benchmark({
      targets: { [limit.name]: { floor: 0, goal: 1 } },
      higherIsBetter: false,
      ours: contender('ours', 1),
      limit,
    })
    for await (const result of runBenchmark(set, 'tiny')) {
      expect(result).toMatchObject({ met: 'goal', limit: { name: '2 µs', value: 2, ratio: 2 } })
    }
  })

  test('takes the percentile that so many are within', () => {
    const values = Float64Array.from({ length: 200 }, (_, index) => 200 - index)
    expect(percentile(values, 0.99)).toBe(198)
    expect(percentile(values, 1)).toBe(200)
    expect(percentile(Float64Array.of(7), 0.5)).toBe(7)
  })

  test('takes the middle of the measurements', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([1, 9, 5, 3])).toBe(4)
  })
})

/** The loop goes round after each piece, so that whoever reads gets them apart. */
async function writeApart(socket: Socket, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece)
    await setImmediate()
    await setImmediate()
  }
}

describe('the Redis protocol', () => {
  const serve = async (replies: readonly string[]): Promise<RespConnection> => {
    const directory = await temporaryDirectory()
    const server = createServer((socket) => {
      socket.once('data', () => {
        void writeApart(socket, replies)
      })
    })
    onTestFinished(() => void server.close())
    server.listen(join(directory, 'redis.sock'))
    await once(server, 'listening')
    const connection = await RespConnection.open(join(directory, 'redis.sock'))
    onTestFinished(() => connection.close())
    return connection
  }

  test('commands are arrays of texts with their lengths', () => {
    expect(encodeCommand(['XLEN', 'events'])).toBe('*2\r\n$4\r\nXLEN\r\n$6\r\nevents\r\n')
  })

  test('replies are found whatever pieces they come in', async () => {
    const reply = '*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nk\r\n$-1\r\n:42\r\n'
    const connection = await serve(reply.match(/[^]/g) ?? [])
    expect(await connection.call('XRANGE')).toEqual([['1-0', ['k', null]], 42])
  })

  test('each call has the reply of its own, and the next one begins behind it', async () => {
    const replies = ':42\r\n$5\r\nhello\r\n$-1\r\n+OK\r\n'
    const connection = await serve(replies.match(/[^]/g) ?? [])
    const calls = ['XLEN', 'GET', 'GET', 'PING'].map((word) => connection.call(word))
    expect(await Promise.all(calls)).toEqual([42, 'hello', null, 'OK'])
  })

  test('every command of a write has its reply before the next one', async () => {
    const connection = await serve(['$3\r\n1-', '0\r\n$3\r\n2-0\r\n', '+OK\r\n'])
    const sent = connection.send('XADD twice', 2)
    expect(await connection.call('PING')).toBe('OK')
    await sent
  })

  test('what the server refuses fails who asked', async () => {
    const connection = await serve(['$3\r\n1-0\r\n-OOM no memory\r\n'])
    await expect(connection.send('XADD twice', 2)).rejects.toThrow('Redis: OOM no memory')
  })
})

describe('the command', () => {
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [join(repositoryRoot, 'bench/main.ts'), ...args], {
      encoding: 'utf8',
    })

  test('lists its benchmarks, one a line', () => {
    const { status, stdout } = run('--list')
    expect(status).toBe(0)
    expect(stdout.split('\n').map((line) => line.split(' ')[0])).toEqual([
      'append-memory',
      'read-memory',
      'point-memory',
      'memory-footprint',
      'startup',
      'append-durable',
      'recovery',
      'ack-beside',
      'tiering',
      'manifest',
      'cold-read',
      'requests',
      'restore',
      'sql-hot',
      'sql-cold',
      'sql-latest',
      'stream-sql',
      'restore-lazy',
      'restore-memory',
      'http',
      'durable-streams',
      'snapshot',
      'import',
      '',
    ])
  })

  test('refuses an unknown name with the names there are', () => {
    const { status, stdout, stderr } = run('no-such')
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toContain(
      'append-memory, read-memory, point-memory, memory-footprint, startup, append-durable, recovery, ack-beside, tiering, manifest, cold-read, requests, restore, sql-hot, sql-cold, sql-latest, stream-sql, restore-lazy, restore-memory, http, durable-streams, snapshot, import',
    )
  })

  test('prints one JSON document a case and nothing else on standard output', () => {
    const { status, stdout } = run('startup', '--quick', '--json')
    expect(status).toBe(0)
    const lines = stdout.trim().split('\n')
    for (const line of lines) {
      expect(Object.keys(JSON.parse(line) as object)).toEqual([
        'bench',
        'case',
        'unit',
        'higherIsBetter',
        'ours',
        'peers',
        'limit',
        'runs',
        'spread',
        'floor',
        'goal',
        'met',
        'missing',
      ])
    }
    expect(lines.length).toBeGreaterThan(0)
  })
})
