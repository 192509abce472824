import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, describe, expect, test } from 'vitest'
import type { StratalogError } from '../../../src/base/errors.ts'
import { CONFIG_FLAG_PATHS, addConfigFlags } from '../../../src/cli/config-flags.ts'
import { readConfiguration, readServerConfiguration } from '../../../src/cli/read-configuration.ts'
import { validateOptions } from '../../../src/engine/config.ts'

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
    const { config, corsOrigin } = readServerConfiguration({ config: file })
    expect([config, corsOrigin]).toEqual([{ dataDir: 'd' }, 'https://app.example.com'])
    const flag = ['https://other.example.com']
    expect(readServerConfiguration({ config: file, corsOrigin: flag }).corsOrigin).toBe(flag)
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
