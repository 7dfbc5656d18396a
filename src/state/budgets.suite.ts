/** What the state promises of budgets. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import type { Budget, BudgetEvent } from './budgets.ts'
import type { State } from './state.ts'

export function budgetTests(state: () => State): void {
  describe('budgets', () => {
    test('have a name of their own, and are what they were made', async () => {
      const { budgets } = state()
      const lab = budget('b-1', 'lab', { accountId: '111122223333', tagKey: 'team', tagValue: '' })
      expect([await budgets.insert(lab), await budgets.insert(budget('b-2', 'lab'))]).toEqual([true, false])
      expect(await budgets.insert(budget('b-3', 'all'))).toBe(true)
      expect(await budgets.list()).toEqual([budget('b-3', 'all'), lab])
      await budgets.close('b-1', '2026-11')
      expect(await budgets.get('lab')).toEqual({ ...lab, closedMonth: '2026-11' })
      expect([await budgets.remove('lab'), await budgets.remove('lab')]).toEqual([true, false])
      expect(await budgets.get('lab')).toBeUndefined()
    })

    test('cross a threshold once a month, whoever finds it, and that outlives them', async () => {
      const { budgets } = state()
      await budgets.insert(budget('b-1', 'lab'))
      const found = await Promise.all([1, 2, 3].map((crossedAt) => budgets.cross(event('b-1', { crossedAt }))))
      expect(found.filter(Boolean)).toHaveLength(1)
      expect(await budgets.cross(event('b-1', { basis: 'forecast' }))).toBe(true)
      expect(await budgets.cross(event('b-1', { month: '2026-12' }))).toBe(true)
      expect(await budgets.cross(event('b-2', { budgetName: 'lab' }))).toBe(true)
      await budgets.remove('lab')
      const told = (await budgets.events({ name: 'lab', limit: 10 })).map(({ budgetId, month, basis }) => [
        ...[budgetId, month, basis],
      ])
      expect(told).toEqual([
        ['b-2', '2026-11', 'actual'],
        ['b-1', '2026-12', 'actual'],
        ['b-1', '2026-11', 'forecast'],
        ['b-1', '2026-11', 'actual'],
      ])
      expect(await budgets.events({ budgetId: 'b-1', month: '2026-11', limit: 1 })).toMatchObject([
        { basis: 'forecast', percent: 80, cost: '8.5', amount: '10' },
      ])
      expect(await budgets.events({ name: 'all', limit: 10 })).toEqual([])
    })

    test('take back what a failed transaction found', async () => {
      const failing = state().transaction(async (tx) => {
        await tx.budgets.cross(event('b-1'))
        throw new Error('stop here')
      })
      await expect(failing).rejects.toThrow('stop here')
      expect(await state().budgets.cross(event('b-1'))).toBe(true)
    })
  })
}

function budget(id: string, name: string, more: Partial<Budget> = {}): Budget {
  return {
    ...{ id, name, amount: '10', currency: 'USD', createdAt: 1, closedMonth: null },
    ...{ accountId: null, region: null, tagKey: null, tagValue: null },
    thresholds: [{ percent: 80, basis: 'actual' }],
    ...more,
  }
}

function event(budgetId: string, more: Partial<BudgetEvent> = {}): Omit<BudgetEvent, 'seq'> {
  return {
    ...{ budgetId, budgetName: 'lab', month: '2026-11', percent: 80, basis: 'actual' as const },
    ...{ cost: '8.5', amount: '10', currency: 'USD', crossedAt: 5, ...more },
  }
}
