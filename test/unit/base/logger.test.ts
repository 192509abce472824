import { expect, test } from 'vitest'
import { LOG_LEVELS, MemoryLogger, silentLogger } from '../../../src/base/logger.ts'

test('MemoryLogger keeps every entry in order, with those of its children', () => {
  const logger = new MemoryLogger()
  logger.info('one')
  logger.child('tiering').warn('two', { log: 'a' })
  logger.error('three')
  logger.debug('four')
  logger.trace('five')
  expect(logger.entries).toEqual([
    { level: 'info', part: '', message: 'one', fields: {} },
    { level: 'warn', part: 'tiering', message: 'two', fields: { log: 'a' } },
    { level: 'error', part: '', message: 'three', fields: {} },
    { level: 'debug', part: '', message: 'four', fields: {} },
    { level: 'trace', part: '', message: 'five', fields: {} },
  ])
})

test('silentLogger takes every level and says nothing', () => {
  const child = silentLogger.child('part')
  for (const level of LOG_LEVELS) if (level !== 'silent') child[level]('unheard')
  expect(child).toBe(silentLogger)
})
