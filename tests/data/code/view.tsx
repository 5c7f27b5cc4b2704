import React, { type FC } from "react";
import type { Item } from "./model";

export interface Props extends Base<Item> {
  items: Item[];
  onPick(item: Item): void;
}

export type Key = keyof Item;

export enum Colour {
  Red,
}

/** Shows a list. */
export const List: FC<Props> = ({ items }) => {
  return <Row item={items[0]} />;
};

abstract class Panel<T> implements Drawable {
  private size: number = 0;
  abstract draw(): void;
}

namespace Geometry {
  export function area(side: number): number {
    return side * side;
  }
}
