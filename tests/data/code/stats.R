library(dplyr)

# Means by group.
group_mean <- function(data, by) {
  dplyr::summarise(group_by(data, by), mean(value))
}

LIMIT <- 10
