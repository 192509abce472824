import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, describe, expect, test } from 'vitest'
import type { StratalogError } from '../../../src/base/errors.ts'
import { CONFIG_FLAG_PATHS, addConfigFlags } from '../../../src/cli/config-flags.ts'
import { readConfiguration, readServerConfiguration } from '../../../src/cli/read-configuration.ts'
import { addServerCommands } from '../../../src/cli/server-commands.ts'
import { SERVER_KEYS } from '../../../src/cli/server-keys.ts'
import type { Session } from '../../../src/cli/session.ts'
import { validateOptions } from '../../../src/engine/config.ts'
import { readText } from '../../support/repository.ts'

const folder = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

function configOf(...args: readonly string[]): unknown {
  const command = addConfigFlags(new Command().exitOverride())
  return readConfiguration(command.parse(args, { from: 'user' }).opts())
}

function configFile(content: string): string {
  const path = join(folder, `${Math.floor(performance.now() * 1000)}.json`)
  writeFileSync(path, content)
  return path
}

/** The keys that the configuration itself names when it refuses one. */
function knownKeys(options: unknown): readonly string[] {
  try {
    validateOptions(options)
  } catch (error) {
    return /the keys are ([^;\n]+);/.exec((error as StratalogError).message)?.[1]?.split(', ') ?? []
  }
  return []
}

describe('configuration from flags', () => {
  test('nothing given is nothing configured, also of the flags that say no', () => {
    expect(configOf()).toEqual({})
  })

  test('flags become keys, grouped as the configuration has them', () => {
    const args =
      '--data-dir d --archive s3://bucket/p --s3-endpoint http://x --s3-path-style --max-memory 1GB --memory-ttl 90s --no-wal --local-disk'
    expect(configOf(...args.split(' '))).toEqual({
      dataDir: 'd',
      archive: 's3://bucket/p',
      s3: { endpoint: 'http://x', forcePathStyle: true },
      maxMemoryBytes: '1GB',
      defaults: { memoryTtl: '90s', wal: false, localDisk: true },
    })
  })

  test('a file gives the same keys, policy keys also at its top, and a flag wins', () => {
    const path = configFile(
      '{"dataDir":"from-file","memoryTtl":"1h","defaults":{"diskAfter":"5m"},"s3":{"region":"r"}}',
    )
    expect(configOf('--config', path, '--data-dir', 'from-flag', '--disk-after', '1m')).toEqual({
      dataDir: 'from-flag',
      s3: { region: 'r' },
      defaults: { memoryTtl: '1h', diskAfter: '1m' },
    })
  })

  test('an unknown key in a file is refused with the keys there are', () => {
    expect(() => configOf('--config', configFile('{"dataDirr":"x"}'))).toThrow(
      /dataDirr: expected no such key; the keys are dataDir/,
    )
  })

  test.each([
    ['{', /is not a JSON object/],
    ['[1]', /it is not an object/],
  ])('a file that is no configuration says so: %s', (content, message) => {
    expect(() => configOf('--config', configFile(content))).toThrow(message)
  })

  test('a file that is not there is not found', () => {
    expect(() => configOf('--config', join(folder, 'none'))).toThrow(/cannot be read/)
  })

  test('the budget of the engine and that of a log are told apart, in flags and in a file', () => {
    const flags = ['--max-memory-bytes', '1GB', '--log-max-memory-bytes', '4MB', '--priority', '-5']
    expect(configOf(...flags, '--ttl', '90s')).toMatchObject({
      maxMemoryBytes: '1GB',
      defaults: { maxMemoryBytes: '4MB', priority: -5, ttl: '90s' },
    })
    const file = configFile('{"maxMemoryBytes":"2GB","ttl":"1h","evictionPolicy":"lru"}')
    expect(configOf('--config', file)).toEqual({
      maxMemoryBytes: '2GB',
      evictionPolicy: 'lru',
      defaults: { ttl: '1h' },
    })
  })

  test('what the file has for a server alone is passed over by other commands', () => {
    const file = configFile('{"dataDir":"d","corsOrigin":"https://app.example.com"}')
    expect(configOf('--config', file)).toEqual({ dataDir: 'd' })
    const { config, server } = readServerConfiguration({ config: file })
    expect([config, server]).toEqual([{ dataDir: 'd' }, { corsOrigin: 'https://app.example.com' }])
    const flag = ['https://other.example.com']
    const given = readServerConfiguration({ config: file, corsOrigin: flag })
    expect(given.server.corsOrigin).toBe(flag)
  })

  test('every flag of a server is a key of the file, which a flag wins over', () => {
    const program = new Command()
    addServerCommands(program, {} as Session)
    const serving = program.commands.find((known) => known.name() === 'serve')
    const ofEngine = addConfigFlags(new Command()).options.map((option) => option.attributeName())
    const own = (serving?.options ?? []).map((option) => option.attributeName())
    const flags = own.filter((name) => name !== 'json' && !ofEngine.includes(name))
    expect(flags.toSorted()).toEqual(SERVER_KEYS.toSorted())
    const keys = {
      ...{ host: '::1', port: 0, memoryOnly: false, allowHost: ['a', 'b'], tokens: 't' },
      ...{ rateLimit: 5, tlsCert: 'c', tlsKey: 'k', jobArchives: 'file:///a', jobDir: 'd' },
      ...{ jobHosts: ['h'], jobPrivateHosts: true, drillInterval: '1d', drillSample: 0.1 },
      ...{ drillReports: 'r', corsOrigin: 'https://app.example.com' },
    }
    expect(Object.keys(keys).toSorted()).toEqual(SERVER_KEYS.toSorted())
    const file = configFile(JSON.stringify({ ...keys, maxMemory: '1GB' }))
    expect(readServerConfiguration({ config: file })).toEqual({
      config: { maxMemoryBytes: '1GB' },
      server: keys,
    })
    expect(configOf('--config', file)).toEqual({ maxMemoryBytes: '1GB' })
    const flagsGiven = { config: file, port: 9, memoryOnly: true, maxMemory: '2GB' }
    expect(readServerConfiguration(flagsGiven)).toEqual({
      config: { maxMemoryBytes: '2GB' },
      server: { ...keys, port: 9, memoryOnly: true },
    })
    const page = readText('docs/configuration.md')
    for (const key of [...SERVER_KEYS, 'maxMemory']) expect(page).toContain(`\`${key}\``)
  })

  test('a file with wrong values for a server is refused with every problem', () => {
    const keys = {
      ...{ host: '', port: 70_000, memoryOnly: 'yes', allowHost: [1], tokens: false },
      ...{ rateLimit: 0.5, tlsCert: 1, tlsKey: 1, jobArchives: {}, jobDir: '', jobHosts: [''] },
      ...{ jobPrivateHosts: 1, drillInterval: 'soon', drillSample: 2, drillReports: null },
    }
    const file = configFile(JSON.stringify({ ...keys, dataDir: 7 }))
    let message = ''
    try {
      readServerConfiguration({ config: file })
    } catch (error) {
      message = (error as StratalogError).message
    }
    const named = [...message.matchAll(/^ {2}(\w+): expected/gm)].map(([, key = '']) => key)
    expect(named.toSorted()).toEqual(['dataDir', ...Object.keys(keys)].toSorted())
    const both = configFile('{"maxMemory":"1GB","maxMemoryBytes":"1GB"}')
    expect(() => configOf('--config', both)).toThrow(/maxMemory: expected nothing beside/)
  })

  test('every key of the configuration has a flag', () => {
    const nested = new Set(['s3', 'defaults', 'credentials'])
    const paths = [
      ...knownKeys({ unknown: 1 }),
      ...knownKeys({ s3: { unknown: 1 } }).map((key) => `s3.${key}`),
      ...knownKeys({ defaults: { unknown: 1 } }).map((key) => `defaults.${key}`),
    ].filter((path) => !nested.has(path.split('.').at(-1) ?? ''))
    // One flag sets them for the engine, which is for its logs.
    const both = ['defaults.evictionPolicy', 'defaults.evictionWatermark']
    const flags = new Set([...CONFIG_FLAG_PATHS, ...both])
    expect(paths.length).toBeGreaterThan(10)
    expect(paths.filter((path) => !flags.has(path))).toEqual([])
  })
})
