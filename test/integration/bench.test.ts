/** Every benchmark also runs tiny, so that it cannot rot, and what it prints is what scripts rely on. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { appendDurable } from '../../bench/append-durable.bench.ts'
import { appendMemory } from '../../bench/append-memory.bench.ts'
import {
  median,
  runBenchmark,
  summarize,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
} from '../../bench/harness.ts'
import { sqlCold } from '../../bench/sql-cold.bench.ts'
import { repositoryRoot } from '../support/repository.ts'

describe('each benchmark runs tiny, reads back what it stored and compares itself', () => {
  test.each([appendMemory, appendDurable, sqlCold])('$name', async (benchmark) => {
    let cases = 0
    for await (const result of runBenchmark(benchmark, 'tiny')) {
      cases++
      expect(result.ours).toBeGreaterThan(0)
      expect(Object.keys(result.peers).length).toBeGreaterThan(0)
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

  test('takes the middle of the measurements', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([1, 9, 5, 3])).toBe(4)
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
      'append-durable',
      'sql-cold',
      '',
    ])
  })

  test('refuses an unknown name with the names there are', () => {
    const { status, stdout, stderr } = run('no-such')
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toContain('append-memory, append-durable, sql-cold')
  })

  test('prints one JSON document a case and nothing else on standard output', () => {
    const { status, stdout } = run('append-memory', '--quick', '--json')
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
